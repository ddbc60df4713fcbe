// Owns the sound: one <audio> element, from the first preview on, then the finished files in order.

const WARM_MS = 4000; // what a finished file may take to be ready beside the preview before we swap all the same

export class Player extends EventTarget {
  #audio;
  #segments = [];
  #index = 0;
  #kind = null; // "preview", "final" or null: nothing of this segment is loaded
  #from = 0; // seconds into the segment where it is to begin
  #previewHeard = false; // to its end: only the file itself can go on
  #wanted = false;
  #swapping = false;
  #retries = 0;
  #probe = null;

  constructor(audio) {
    super();
    this.#audio = audio;
    audio.addEventListener("playing", () => this.#started());
    audio.addEventListener("ended", () => this.#ended());
    audio.addEventListener("timeupdate", () => this.#moved());
    audio.addEventListener("error", () => this.#failed());
    audio.addEventListener("pause", () => this.#tell());
  }

  get state() {
    const segment = this.#segments[this.#index];
    return {
      index: this.#index, kind: this.#kind, title: segment?.title ?? "", wanted: this.#wanted,
      sounding: !this.#audio.paused && this.#kind !== null, time: this.#audio.currentTime || 0,
      finished: this.#segments.length > 0 && this.#index >= this.#segments.length,
    };
  }

  set volume(value) {
    this.#audio.volume = value;
  }

  // Call in a click: browsers let sound begin only from there.
  play() {
    this.#wanted = true;
    this.#probe?.resume();
    if (this.state.finished) this.#go(0);
    else if (this.#kind === null) this.#advance();
    else this.#run();
    this.#tell();
  }

  pause() {
    this.#wanted = false;
    this.#audio.pause();
    this.#tell();
  }

  // New knowledge of the run: whatever is playing goes on, and gets better if it can.
  update(segments) {
    const sameRun = this.#segments[0]?.id === segments[0]?.id;
    this.#segments = segments;
    if (!sameRun) this.#forget();
    const segment = segments[this.#index];
    if (!segment) return;
    if (this.#kind === null) this.#advance();
    else if (this.#kind === "preview" && segment.finalUrl) this.#swap(segment);
  }

  // Begin elsewhere, such as where the listener was before a reload.
  seek(index, time) {
    if (index < this.#segments.length) this.#go(index, time);
  }

  // For tests: what is really heard, in dBFS, read from the element's own output.
  probe() {
    if (this.#probe) return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 2048;
    context.createMediaElementSource(this.#audio).connect(analyser).connect(context.destination);
    const samples = new Float32Array(analyser.fftSize);
    this.#probe = context;
    this.level = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      return power > 0 ? 10 * Math.log10(power) : -200;
    };
    this.heard = {}; // the loudest moment of each piece: {"0:preview": -18.2, …}
    setInterval(() => {
      const piece = `${this.#index}:${this.#kind}`;
      this.heard[piece] = Math.max(this.heard[piece] ?? -200, this.level());
    }, 100);
  }

  #forget() {
    this.#audio.removeAttribute("src");
    this.#audio.load();
    this.#index = 0;
    this.#kind = null;
    this.#from = 0;
    this.#previewHeard = false;
  }

  #go(index, time = 0) {
    this.#index = index;
    this.#kind = null;
    this.#from = time;
    this.#previewHeard = false;
    this.#advance();
  }

  // Load what there is of the current segment; skip what can never come; else wait for the next update.
  #advance() {
    const segment = this.#segments[this.#index];
    const preview = segment?.previewUrl && !this.#previewHeard;
    if (!segment) {
      this.#wanted = false;
    } else if (segment.finalUrl) {
      this.#load("final", segment.finalUrl);
    } else if (preview) {
      this.#load("preview", segment.previewUrl);
    } else if (segment.status === "failed") {
      this.dispatchEvent(new Event("skipped"));
      this.#go(this.#index + 1);
    }
    this.#tell();
  }

  #load(kind, url) {
    const time = this.#from;
    this.#kind = kind;
    this.#audio.src = sameOrigin(url);
    if (time > 0) this.#audio.addEventListener("loadedmetadata", () => { this.#audio.currentTime = time; }, { once: true });
    this.#run();
  }

  #run() {
    if (!this.#wanted) return;
    this.#audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.dispatchEvent(new Event("blocked"));
    });
  }

  // From the preview to the file, at the same place of the music; the preview plays until the file is at hand.
  async #swap(segment) {
    if (this.#swapping) return;
    this.#swapping = true;
    const index = this.#index;
    const place = () => Math.max(0, this.#audio.currentTime - (segment.preview_offset_ms ?? 0) / 1000);
    await warmed(segment.finalUrl, place());
    this.#swapping = false;
    if (this.#index !== index || this.#kind !== "preview") return;
    this.#from = place();
    this.#load("final", segment.finalUrl);
    this.#tell();
  }

  #started() {
    this.#retries = 0;
    this.dispatchEvent(new Event("sound"));
    this.#tell();
  }

  // A file is longer than its segment: its tail belongs under the next one, and plays on while that is not there.
  #moved() {
    const segment = this.#segments[this.#index];
    const next = this.#segments[this.#index + 1];
    const over = this.#kind === "final" && segment?.seconds && this.#audio.currentTime >= segment.seconds;
    if (over && next && (next.finalUrl || next.previewUrl)) this.#go(this.#index + 1);
    this.dispatchEvent(new Event("time"));
  }

  #ended() {
    const segment = this.#segments[this.#index];
    if (this.#kind !== "preview" || !segment) {
      this.#go(this.#index + 1);
      return;
    }
    this.#from = Math.max(0, this.#audio.currentTime - (segment.preview_offset_ms ?? 0) / 1000);
    this.#previewHeard = true;
    this.#kind = null;
    this.#advance(); // the file, if it is there; else the next update brings it
  }

  #failed() {
    if (this.#kind === null || !this.#audio.getAttribute("src")) return;
    const time = this.#audio.currentTime || this.#from;
    const wait = Math.min(1000 * 2 ** this.#retries, 15000);
    this.#retries += 1;
    this.dispatchEvent(new Event("broken")); // the page fetches fresh addresses
    setTimeout(() => { if (this.#kind !== null) this.#go(this.#index, time); }, wait);
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

// Our audio is of our own origin whatever name the page was reached by; a bucket's own address stays as it is.
function sameOrigin(url) {
  const address = new URL(url, location.href);
  return address.pathname.startsWith("/media/") ? address.pathname + address.search : url;
}

// Let the browser fetch the place we are about to jump to, so that the swap is short.
function warmed(url, time) {
  return new Promise((done) => {
    const beside = new Audio();
    const finish = () => { clearTimeout(timer); beside.removeAttribute("src"); done(); };
    const timer = setTimeout(finish, WARM_MS);
    beside.preload = "auto";
    beside.muted = true;
    beside.addEventListener("loadedmetadata", () => { beside.currentTime = time; }, { once: true });
    beside.addEventListener("canplaythrough", finish, { once: true });
    beside.addEventListener("error", finish, { once: true });
    beside.src = sameOrigin(url);
  });
}
