"""Owns the claims about where a setting comes from and that secrets stay inside."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from libs.common import settings as groups
from libs.common.errors import SettingError
from libs.common.settings import EdgeSettings, PeerSettings, ServiceSettings, SigningSettings


class Settings(ServiceSettings, EdgeSettings, SigningSettings):
    pass


def test_names_of_the_environment_are_the_fields_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAIN_SECONDS", "15")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example,")
    settings = Settings()
    assert settings.drain_seconds == 15
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert Settings().port == 8000


def test_a_secret_may_come_from_a_named_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n", encoding="utf-8")
    monkeypatch.setenv("INTERNAL_SECRET_FILE", str(tmp_path / "secret"))
    assert Settings().internal_secret.get_secret_value() == "from a file"


def test_a_secret_may_come_from_the_mounted_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "internal_secret").write_text("mounted", encoding="utf-8")
    monkeypatch.setattr(groups, "SECRETS_FOLDER", tmp_path)
    assert Settings().internal_secret.get_secret_value() == "mounted"
    monkeypatch.setenv("INTERNAL_SECRET", "said")
    assert Settings().internal_secret.get_secret_value() == "said"


def test_a_named_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERNAL_SECRET_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingError, match=r"^INTERNAL_SECRET_FILE: expected a readable file"):
        Settings()


def test_secrets_are_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_SECRET", "hush-hush")
    monkeypatch.setenv("MEDIA_SIGNING_KEYS", "k1:hush-hush")
    settings = Settings()
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_refused_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "hush-hush")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hush" not in str(refused.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_addresses_end_without_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATE_URL", "http://create:8000/")
    assert PeerSettings().create_url == "http://create:8000"
