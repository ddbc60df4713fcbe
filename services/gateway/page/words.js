// Owns every word of the page, in French and English; the server sends codes and its own fixed texts.

const FR = {
  "skip": "Aller au contenu",
  "help": "Aide",
  "language": "English",
  "ask.title": "Comment vous sentez-vous, là, maintenant ?",
  "ask.lead": "Choisissez un parcours ; tout le reste peut être laissé vide. La musique commence en quelques secondes.",
  "preset": "Parcours",
  "emotion": "Un mot pour le ressenti",
  "emotion.none": "je préfère ne pas le dire",
  "intensity": "Avec quelle force ?",
  "intensity.0.2": "à peine", "intensity.0.4": "un peu", "intensity.0.6": "assez", "intensity.0.8": "fortement",
  "intensity.1": "au plus fort",
  "suds.skip": "Passer cette question",
  "style": "Sonorité",
  "style.auto": "celle du parcours",
  "gentle": "Doux dès le début",
  "start": "Commencer",
  "starting": "Un instant…",
  "again": "Reprendre le dernier parcours",
  "play": "Écouter", "pause": "Pause", "continue": "Touchez pour continuer",
  "made": "Préparation", "volume": "Volume", "steps": "Les étapes", "notices": "À savoir",
  "resume": "Réessayer ce qui a échoué", "new": "Nouveau parcours",
  "minutes": "{n} min", "figures": "{done} sur {all} prêtes",
  "first-sound": "premier son après {n} s", "remaining": "encore {n} environ",
  "status.queued": "en attente", "status.generating": "en création", "status.first": "aperçu prêt",
  "status.complete": "prêt", "status.failed": "indisponible",
  "now.waiting": "La musique se prépare, respirez tranquillement…",
  "now.playing": "Étape {n} : {title}", "now.preview": "Étape {n} : {title} (aperçu)",
  "now.hold": "La suite arrive dans un instant…", "now.skipped": "Une étape n'a pas pu être faite ; on continue avec la suivante.",
  "now.finished": "C'est la fin du parcours. Merci d'avoir pris ce moment.", "now.paused": "En pause",
  "said.first": "La musique commence.", "said.ready": "Tout le parcours est prêt.", "said.failed": "Une étape n'a pas pu être faite.",
  "support.title": "Vous n'êtes pas seul·e",
  "support.text": "Si c'est très dur en ce moment, des personnes peuvent vous écouter tout de suite. La musique peut attendre : vous continuez quand vous voulez.",
  "support.continue": "Continuer",
  "support.112": "Numéro d'urgence européen",
  "identity.title": "Qui écoute ?", "identity.label": "Jeton d'accès", "identity.use": "Utiliser ce jeton",
  "notice.not_medical": "Parcours est un temps d'écoute et de bien-être. Ce n'est pas un dispositif médical et cela ne remplace pas un avis ou des soins médicaux.",
  "problem.401": "Votre accès n'est plus valable.", "problem.403": "Ce n'est pas ouvert pour vous.",
  "problem.404": "Ce parcours n'existe plus.", "problem.422": "Un choix n'a pas été compris.",
  "problem.429": "C'est beaucoup d'un coup : réessayez dans {n}.", "problem.503": "Le service ne répond pas pour l'instant ; nouvel essai bientôt.",
  "problem.other": "Quelque chose n'a pas marché. Réessayez dans un instant.",
  "problem.audio": "Ce morceau ne peut pas être lu pour l'instant ; nouvel essai.",
  "seconds": "{n} s", "minutes-seconds": "{m} min {s} s",
};

const EN = {
  "skip": "Skip to content",
  "help": "Help",
  "language": "Français",
  "ask.title": "How do you feel right now?",
  "ask.lead": "Choose a journey; everything else may be left empty. Music begins within seconds.",
  "preset": "Journey",
  "emotion": "A word for the feeling",
  "emotion.none": "I would rather not say",
  "intensity": "How strong is it?",
  "intensity.0.2": "barely", "intensity.0.4": "a little", "intensity.0.6": "rather", "intensity.0.8": "strongly",
  "intensity.1": "at its strongest",
  "suds.skip": "Skip this question",
  "style": "Sound",
  "style.auto": "the journey's own",
  "gentle": "Gentle from the start",
  "start": "Begin",
  "starting": "One moment…",
  "again": "Go back to the last journey",
  "play": "Listen", "pause": "Pause", "continue": "Tap to continue",
  "made": "Being made", "volume": "Volume", "steps": "The steps", "notices": "Good to know",
  "resume": "Try again what failed", "new": "New journey",
  "minutes": "{n} min", "figures": "{done} of {all} ready",
  "first-sound": "first sound after {n} s", "remaining": "about {n} more",
  "status.queued": "waiting", "status.generating": "being made", "status.first": "preview ready",
  "status.complete": "ready", "status.failed": "not available",
  "now.waiting": "The music is being prepared, breathe at your ease…",
  "now.playing": "Step {n}: {title}", "now.preview": "Step {n}: {title} (preview)",
  "now.hold": "The next part is on its way…", "now.skipped": "One step could not be made; we go on with the next.",
  "now.finished": "This is the end of the journey. Thank you for taking this moment.", "now.paused": "Paused",
  "said.first": "The music begins.", "said.ready": "The whole journey is ready.", "said.failed": "One step could not be made.",
  "support.title": "You are not alone",
  "support.text": "If it is very hard right now, there are people who can listen at once. The music can wait: you go on whenever you like.",
  "support.continue": "Go on",
  "support.112": "European emergency number",
  "identity.title": "Who is listening?", "identity.label": "Access token", "identity.use": "Use this token",
  "notice.not_medical": "Parcours is a listening and well-being moment. It is not a medical device and does not replace medical advice or care.",
  "problem.401": "Your access is no longer valid.", "problem.403": "This is not open to you.",
  "problem.404": "This journey is no longer there.", "problem.422": "One of the choices was not understood.",
  "problem.429": "That is a lot at once: try again in {n}.", "problem.503": "The service does not answer at the moment; trying again soon.",
  "problem.other": "Something did not work. Try again in a moment.",
  "problem.audio": "This piece cannot be played at the moment; trying again.",
  "seconds": "{n} s", "minutes-seconds": "{m} min {s} s",
};

const CATALOGUES = { fr: FR, en: EN };

export const INTENSITIES = ["0.2", "0.4", "0.6", "0.8", "1"];

let locale = localStorage.getItem("parcours.locale") === "en" ? "en" : "fr";

export const currentLocale = () => locale;

export function switchLocale() {
  locale = locale === "fr" ? "en" : "fr";
  localStorage.setItem("parcours.locale", locale);
}

export function say(key, values = {}) {
  const text = CATALOGUES[locale][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export function inLocale(text) {
  return typeof text === "object" && text !== null ? (text[locale] ?? text.fr ?? "") : (text ?? "");
}

export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  return whole < 60 ? say("seconds", { n: whole }) : say("minutes-seconds", { m: Math.floor(whole / 60), s: whole % 60 });
}

export function tenths(seconds) {
  return new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(seconds);
}

export const missingWords = () =>
  Object.keys(FR).filter((key) => !(key in EN)).concat(Object.keys(EN).filter((key) => !(key in FR)));
