import type { components } from "./api.js";

export type Problem = components["schemas"]["Problem"];
export type FieldError = components["schemas"]["FieldError"];

/** An error response of the market (a problem document of RFC 9457). */
export class SoukError extends Error {
  override readonly name = "SoukError";
  /** The HTTP status. */
  readonly status: number;
  /** The stable code of the problem; `unknown` if something before the market answered, such as a proxy. */
  readonly code: Problem["code"] | "unknown";
  /** What is wrong, by field: `errors["price.amount"]?.[0]?.detail` is what a form shows beside its price. */
  readonly errors: Readonly<Partial<Record<string, FieldError[]>>>;
  /** The id of the request in the logs of the market. */
  readonly requestId: string | null;

  /** `body` is the response's, as JSON if it is JSON. */
  constructor(response: Response, body: unknown) {
    const problem = (typeof body === "object" && body !== null ? body : {}) as Partial<Problem>;
    const what = problem.errors?.map(({ field, detail }) => `${field} ${detail}`) ?? [];
    super([problem.detail ?? `${response.status} ${response.statusText}`.trim(), ...what].join("; "));
    this.status = response.status;
    this.code = problem.code ?? "unknown";
    this.requestId = problem.request_id ?? response.headers.get("x-request-id");
    const errors: Record<string, FieldError[]> = Object.create(null);
    for (const error of problem.errors ?? []) {
      (errors[error.field] ??= []).push(error);
    }
    this.errors = errors;
  }

  /** Reads the error of a response. */
  static async of(response: Response): Promise<SoukError> {
    const text = await response.text().catch(() => "");
    try {
      return new SoukError(response, JSON.parse(text));
    } catch {
      return new SoukError(response, text);
    }
  }
}
