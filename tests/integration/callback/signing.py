"""Signs webhooks as their providers do (`providers.md` §0.2), for the tests of the callback."""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field

import asyncpg
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KIE_KEY = "kie-test-key"


@dataclass
class Signers:
    """The providers' keys of one test."""

    fal: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    replicate: bytes = b"a secret of Replicate's"

    def sign(self, provider: str, raw: bytes, *, age: float = 0.0) -> dict[str, str]:
        """The headers of a webhook of this provider that was signed `age` seconds ago."""
        at = str(int(time.time() - age))
        if provider == "fal":
            message = "\n".join(("r1", "u1", at, hashlib.sha256(raw).hexdigest())).encode()
            named = {"Request-Id": "r1", "User-Id": "u1", "Timestamp": at, "Signature": self.fal.sign(message).hex()}
            return {f"X-Fal-Webhook-{name}": value for name, value in named.items()}
        if provider == "replicate":
            digest = hmac.digest(self.replicate, f"msg_1.{at}.".encode() + raw, "sha256")
            signature = "v1," + base64.b64encode(digest).decode()
            return {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": signature}
        data = orjson.loads(raw)["data"]
        task_id = data.get("task_id", data.get("taskId"))
        digest = hmac.digest(KIE_KEY.encode(), f"{task_id}.{at}".encode(), "sha256")
        return {"X-Webhook-Timestamp": at, "X-Webhook-Signature": base64.b64encode(digest).decode()}

    async def publish(self, connection: asyncpg.Connection) -> None:
        """Write the keys as the generator does when it fetched them; fal has another one beside."""
        keys = [("fal", jwk(Ed25519PrivateKey.generate())), ("fal", jwk(self.fal)), ("fal", "no key at all")]
        keys.append(("replicate", "whsec_" + base64.b64encode(self.replicate).decode()))
        await connection.executemany(
            "INSERT INTO provider_keys (provider, key_id, key) VALUES ($1, $2, $3)",
            [(provider, str(number), key) for number, (provider, key) in enumerate(keys)],
        )


def jwk(key: Ed25519PrivateKey) -> str:
    point = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return orjson.dumps({"kty": "OKP", "crv": "Ed25519", "x": point}).decode()
