"""Claims about the environment: the order of providers, and what is refused at start."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.generator.settings import Settings, is_local, why_not_public


def settings(**changes: Any) -> Settings:
    return Settings(**({"suno_api_key": "", "providers": "", "public_url": "https://parcours.fr"} | changes))


def test_without_a_key_composer_is_alone() -> None:
    assert settings().order == ("composer",)


def test_with_a_key_suno_comes_first_and_the_order_is_configuration() -> None:
    assert settings(suno_api_key="k").order == ("suno", "composer")
    assert settings(suno_api_key="k", providers="composer, suno,composer").order == ("composer", "suno")


@pytest.mark.parametrize(
    ("providers", "needed"),
    [
        ("suno", "suno needs SUNO_API_KEY"),
        ("suno,composer", "suno needs SUNO_API_KEY"),
        ("fal,composer", "fal needs FAL_KEY"),
        ("composer,replicate", "replicate needs REPLICATE_API_TOKEN"),
    ],
)
def test_a_provider_that_is_named_without_its_key_is_refused(providers: str, needed: str) -> None:
    with pytest.raises(ValidationError, match=needed):
        settings(providers=providers)


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ValidationError, match="PROVIDERS names udio"):
        settings(providers="udio")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://parcours.fr/cb", "scheme http"),
        ("https://127.0.0.1/cb", "private address"),
        ("https://10.0.0.7/cb", "private address"),
        ("https://[::1]/cb", "private address"),
        ("https://localhost/cb", "local network"),
        ("https://gateway/cb", "local network"),
        ("https://parcours.internal/cb", "local network"),
    ],
)
def test_a_callback_that_a_paid_provider_cannot_reach_is_refused_with_the_reason(address: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(suno_api_key="k", callback_base=address)


def test_the_default_callback_is_checked_as_well() -> None:
    with pytest.raises(ValidationError, match="CALLBACK_BASE must be a public https address"):
        settings(suno_api_key="k", public_url="http://127.0.0.1:8080")


def test_a_public_callback_is_taken() -> None:
    made = settings(suno_api_key="k", callback_base="https://hooks.parcours.fr/suno?tenant=1")
    assert made.paid_callback == "https://hooks.parcours.fr/suno?tenant=1"


def test_a_provider_on_this_machine_may_call_a_private_address() -> None:
    made = settings(suno_api_key="k", suno_base_url="http://127.0.0.1:9999", public_url="http://127.0.0.1:8080")
    assert made.paid_callback == "http://127.0.0.1:8080/callback"


def test_several_keys_are_several_accounts() -> None:
    made = settings(suno_api_key="k1, k2")
    roster = made.roster()
    assert roster.accounts == {"suno-1": "suno", "suno-2": "suno", "composer": "composer"}
    assert made.access(roster)["suno-2"].key == "k2"


def test_composer_calls_the_callback_service_itself() -> None:
    made = settings(callback_url="http://127.0.0.1:8004", composer_url="http://127.0.0.1:8007/")
    way = made.access(made.roster())["composer"]
    assert (way.base_url, way.callback_base) == ("http://127.0.0.1:8007", "http://127.0.0.1:8004/callback")


def test_no_secret_is_shown_when_something_is_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        settings(suno_api_key="very-secret-key", callback_base="http://x")
    assert "very-secret-key" not in str(refused.value)


def test_what_is_local_and_what_is_public() -> None:
    assert is_local("http://localhost:1")
    assert is_local("http://127.9.9.9")
    assert not is_local("http://10.0.0.1")
    assert not is_local("https://api.sunoapi.org")
    assert why_not_public("https://8.8.8.8/cb") is None


def test_composers_key_and_the_expected_time_are_configuration() -> None:
    made = settings(composer_api_key="c-key", playable_after_seconds=100, time_scale=0.5)
    assert made.access(made.roster())["composer"].key == "c-key"
    assert made.clock.expected_playable == 50.0


def fal(**changes: Any) -> Settings:
    return settings(**({"providers": "fal,composer", "fal_key": "id:secret"} | changes))


def replicate(**changes: Any) -> Settings:
    return settings(**({"providers": "replicate", "replicate_api_token": "r8_x"} | changes))


def test_every_paid_provider_has_an_account_for_each_key() -> None:
    made = fal(fal_key="a:b, c:d")
    assert made.roster().accounts == {"fal-1": "fal", "fal-2": "fal", "composer": "composer"}
    way = made.access(made.roster())["fal-2"]
    assert (way.base_url, way.key, way.model) == ("https://queue.fal.run", "c:d", "fal-ai/elevenlabs/music")
    assert way.keys_url == "https://rest.fal.ai/.well-known/jwks.json"
    assert way.callback_base == "https://parcours.fr/callback"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"providers": "suno", "suno_api_key": "k", "suno_model": "V9"}, "SUNO_MODEL is V9, which suno is not known"),
        (
            {"providers": "fal", "fal_key": "k", "fal_model": "fal-ai/x"},
            "FAL_MODEL is fal-ai/x, which fal is not known",
        ),
        (
            {"providers": "replicate", "replicate_api_token": "k", "replicate_model": "meta/musicgen"},
            "REPLICATE_MODEL is meta/musicgen, which replicate is not known",
        ),
        (
            {"providers": "replicate", "replicate_api_token": "k", "replicate_model": "google/lyria-2"},
            "REPLICATE_MODEL is google/lyria-2, whose files are paid for and then refused: .*45 s",
        ),
        ({"providers": "fal", "fal_key": "k", "fal_model": "fal-ai/lyria2"}, "shorter than 45 s"),
        (
            {"providers": "fal", "fal_key": "k", "callback_base": "http://parcours.fr/c"},
            "CALLBACK_BASE must be a public https address, because FAL_BASE_URL is not on this machine: it has the",
        ),
    ],
)
def test_what_could_only_fail_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(**changes)


def test_models_of_short_files_are_asked_where_they_are_named() -> None:
    made = replicate()
    assert made.access(made.roster())["replicate-1"].model == "stability-ai/stable-audio-2.5"


def test_a_provider_that_is_not_asked_is_not_looked_at() -> None:
    assert settings(fal_model="unheard-of", suno_model="V9").order == ("composer",)


def test_the_whole_order_is_configuration() -> None:
    made = settings(
        providers="suno,fal,replicate,composer",
        suno_api_key="k",
        fal_key="k",
        replicate_api_token="k",
    )
    assert made.roster().names == ["suno", "fal", "replicate", "composer"]


def test_the_sister_reseller_is_a_matter_of_configuration() -> None:
    made = settings(suno_api_key="k", suno_dialect="kie", suno_model="V6")
    way = made.access(made.roster())["suno-1"]
    assert (way.provider.dialect, way.base_url) == ("kie", "https://api.kie.ai")
    other = settings(suno_api_key="k", suno_dialect="kie", suno_base_url="http://127.0.0.1:9999", suno_model="V6")
    assert other.access(other.roster())["suno-1"].base_url == "http://127.0.0.1:9999"


@pytest.mark.parametrize("name", ["fal_key", "replicate_api_token"])
def test_no_key_is_shown_when_another_provider_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(providers="fal,replicate", **{name: "very-secret-key"})
    assert "very-secret-key" not in str(refused.value)
