/** What the types of the OpenAPI document mean for a call. */
import type { PathsWithMethod, RequestBodyJSON, RequiredKeysOf } from "openapi-typescript-helpers";
import type { paths } from "./api.js";

export type Method = "get" | "put" | "post" | "patch" | "delete";
export type Path<M extends Method> = PathsWithMethod<paths, M>;

type Operation<P extends keyof paths, M extends Method> = paths[P][M];
type Parameters<O> = O extends { parameters: infer All } ? Pick<All, keyof All & ("query" | "path" | "header")> : unknown;
type Body<O> = O extends { requestBody: { content: infer Content } }
  ? { body: Content[keyof Content & "application/json"] }
  : O extends { requestBody?: { content: infer Content } }
    ? { body?: Content[keyof Content & "application/json"] }
    : unknown;

/** What a call takes beside its path. */
export type Options<P extends keyof paths, M extends Method> = Parameters<Operation<P, M>> &
  Body<Operation<P, M>> & { signal?: AbortSignal };

/** The options of a call, which may be left out if none is required. */
export type Arguments<P extends keyof paths, M extends Method> =
  RequiredKeysOf<Options<P, M>> extends never ? [options?: Options<P, M>] : [options: Options<P, M>];

/** The body of a successful response; `undefined` if it has none. */
export type Data<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer All } ? Content<All[keyof All & (200 | 201 | 202 | 204)]> : never;
type Content<R> = R extends { content: { "application/json": infer Body } } ? Body : undefined;

/** The paths of lists. */
export type ListPath = {
  [P in Path<"get">]: Data<P, "get"> extends { items: unknown[]; next_cursor?: string | null } ? P : never;
}[Path<"get">];

export type Item<P extends ListPath> = Data<P, "get"> extends { items: (infer T)[] } ? T : never;

/** The paths of what can be read and changed. */
export type EditPath = Path<"get"> & Path<"patch">;

/** A thing to change: fields that the market sets are read-only. */
export type Draft<P extends EditPath> = {
  -readonly [K in keyof Data<P, "get"> & keyof RequestBodyJSON<paths[P]["patch"]>]: Data<P, "get">[K];
} & {
  readonly [K in Exclude<keyof Data<P, "get">, keyof RequestBodyJSON<paths[P]["patch"]>>]: Data<P, "get">[K];
};
