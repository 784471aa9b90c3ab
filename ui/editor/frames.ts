// Runs work at most once per animation frame, and also (more slowly) while the page is hidden.

/** A frame's work, asked for as often as one likes. */
export class Frames {
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;

  constructor(private readonly work: () => void) {}

  /** Has the work done in the next frame. */
  request(): void {
    if (this.stopped || this.frame !== 0) return;
    this.frame = requestAnimationFrame(this.run);
    // Browsers give hidden pages no frames.
    this.timer = setTimeout(this.run, 250);
  }

  /** Does what is asked for now. */
  flush(): void {
    if (this.frame !== 0) this.run();
  }

  /** No work any more. */
  stop(): void {
    this.stopped = true;
    this.clear();
  }

  private clear(): void {
    if (this.frame !== 0) cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = 0;
  }

  private readonly run = (): void => {
    this.clear();
    if (!this.stopped) this.work();
  };
}
