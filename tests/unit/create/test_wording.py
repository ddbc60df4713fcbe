"""The wording lint: what it catches in both languages, and the everyday words it leaves alone."""

import pytest

from services.create.domain import wording


@pytest.mark.parametrize(
    "text",
    [
        "Un traitement doux",
        "pour traiter le stress",
        "se soigner",
        "La GUÉRISON",
        "guérit",
        "thérapeutique",
        "musicothérapie",
        "une cure",
        "un effet curatif",
        "un remède",
        "We treat you",
        "a treatment",
        "healing sounds",
        "it heals",
        "cures",
        "psychotherapy",
        "diagnostic",
        "diagnosis",
        "les symptômes",
        "a symptom",
        "troubles anxieux",
        "un trouble de l’humeur",
        "pathologie",
        "la dépression",
        "depressive",
        "agoraphobie",
        "phobia",
        "burn-out",
        "burn out",
        "burnout",
        "l’insomnie",
        "insomnia",
        "a disorder",
        "les patients",
        "a patient",
        "prescrire",
        "prescription",
        "posologie",
        "une dose",
        "c’est prouvé",
        "cliniquement testé",
        "scientifiquement",
        "efficace à 90 %",
        "résultat garanti",
        "réduit le stress de 40 %",
        "reduces stress by 30 %",
        "clinically tested",
        "proven",
        "guaranteed",
        "un dispositif médical",
        "a medical device",
        "sons binauraux",
        "binaural beats",
        "fréquences de guérison",
        "accordé en 432 Hz",
    ],
)
def test_words_of_medicine_and_proof_are_caught(text: str) -> None:
    assert wording.violations(text)


@pytest.mark.parametrize(
    "text",
    [
        "la guerre est finie",
        "guère plus",
        "un guéridon",
        "a healthy walk",
        "un trait de lumière",
        "éprouver la chaleur",
        "avec patience",
        "curious",
        "la curiosité",
        "obscure",
        "a retreat by the sea",
        "en cas de doute",
        "wheal",
        "secure",
        "the proof of the pudding",
        "ne vous troublez pas",
        "dossier",
        "adosser",
        "frequently",
    ],
)
def test_everyday_words_are_left_alone(text: str) -> None:
    assert not wording.violations(text)


def test_only_the_fixed_notice_may_name_a_medical_device() -> None:
    text = "Ce n’est pas un dispositif médical"
    assert wording.violations(text) == ["medical device"]
    assert wording.violations(text, text_id="EPI") == ["medical device"]
    assert wording.violations(text, text_id="notice.not_medical") == []


@pytest.mark.parametrize(
    "text", ["La joie", "MÉLANCOLIE", "manque élan", "manque_elan", "a calm sea", "fear.", "gêne!"]
)
def test_a_name_of_an_emotion_is_seen_as_a_word(text: str) -> None:
    assert wording.names_an_emotion(text)


@pytest.mark.parametrize("text", ["fearless", "painting", "videos", "lovely", "stressed", "enviable"])
def test_a_name_of_an_emotion_inside_another_word_is_not(text: str) -> None:
    assert not wording.names_an_emotion(text)


@pytest.mark.parametrize("text", ["Tu respires", "c’est à toi", "ta main", "je t’écoute", "tes pieds"])
def test_tutoiement_is_seen(text: str) -> None:
    assert wording.speaks_familiarly(text)


@pytest.mark.parametrize("text", ["Vous respirez", "tout", "le temps", "tâter", "tester", "l’été"])
def test_vouvoiement_is_left_alone(text: str) -> None:
    assert not wording.speaks_familiarly(text)


@pytest.mark.parametrize(
    "text", ["warm tape hiss, soft rain", "Glassy, slow-moving light", "low flute over a wide pad"]
)
def test_words_of_sound_are_a_colour(text: str) -> None:
    assert wording.is_sound_colour(text)
