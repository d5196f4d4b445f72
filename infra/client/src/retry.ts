/** Sends a request; `fetch` or what stands in for it. */
export type Send = (request: Request) => Promise<Response>;

export interface RetryOptions {
  /** How often a request is repeated at most; 3 by default. */
  retries?: number;
  /** The longest wait before a repetition, in milliseconds; what asks for more is not repeated. 20 seconds by default. */
  maxDelay?: number;
  /** How long an attempt may take, with the body of its response, in milliseconds; 30 seconds by default. */
  timeout?: number;
}

/** The first wait without a `Retry-After`, in milliseconds; each next one is twice as long. */
const FIRST_DELAY = 200;
/** Statuses of requests that were not done, or were done as a whole and can be repeated. */
const TEMPORARY = new Set([408, 429, 502, 503, 504]);

/**
 * Repeats requests that can be: GET, PUT and DELETE mean the same twice, and a POST with an `Idempotency-Key` is done once.
 * A conditional PATCH is repeated only if it was refused: after a lost response, its `If-Match` would fail on its own change.
 */
export function withRetries(send: Send, { retries = 3, maxDelay = 20_000, timeout = 30_000 }: RetryOptions = {}): Send {
  return async (request) => {
    const isRepeatable =
      request.method === "POST" ? request.headers.has("idempotency-key") : !request.headers.has("if-match");
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt >= retries;
      const backoff = FIRST_DELAY * 2 ** attempt;
      let delay: number;
      try {
        const response = await withTimeout(send, request, timeout);
        const mayRepeat = response.status === 429 || (isRepeatable && TEMPORARY.has(response.status));
        delay = retryAfter(response) ?? backoff;
        if (isLast || !mayRepeat || delay > maxDelay) return response;
        await response.body?.cancel();
      } catch (error) {
        if (isLast || !isRepeatable || request.signal.aborted) throw error;
        delay = backoff;
      }
      // Clients that failed together must not return together.
      await pause(delay + Math.random() * Math.max(backoff, delay / 2), request.signal);
    }
  };
}

/** `Retry-After` in milliseconds. */
function retryAfter(response: Response): number | undefined {
  const header = response.headers.get("retry-after");
  if (header === null) return undefined;
  const delay = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(delay) ? undefined : Math.max(0, delay);
}

/** The signal stays when the headers are there, because the body may stall too. */
function withTimeout(send: Send, request: Request, timeout: number): Promise<Response> {
  const limit = AbortSignal.timeout(timeout);
  const attempt = new Request(request.clone(), { signal: AbortSignal.any([request.signal, limit]) });
  // Node holds a request weakly while a body arrives, and an abort that passes through a collected one is lost.
  limit.addEventListener("abort", () => [request, attempt]);
  return send(attempt);
}

export function pause(delay: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, delay);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
  });
}
