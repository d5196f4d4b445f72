/** What the types of the OpenAPI document mean for a call. */
import type { PathsWithMethod, RequiredKeysOf } from "openapi-typescript-helpers";
import type { paths } from "./api.js";

export type Method = "get" | "put" | "post" | "patch" | "delete";
export type Path<M extends Method> = PathsWithMethod<paths, M>;

type Operation<P extends keyof paths, M extends Method> = paths[P][M];
type Parameters<O> = O extends { parameters: infer All } ? Pick<All, keyof All & ("query" | "path" | "header")> : unknown;
type Query<P extends Path<"get">> = Operation<P, "get"> extends { parameters: { query?: infer Q } } ? NonNullable<Q> : never;
type Sent<C> = C extends { "application/octet-stream": unknown } ? Blob | Uint8Array<ArrayBuffer> : C[keyof C & "application/json"];
type Body<O> = O extends { requestBody: { content: infer C } }
  ? { body: Sent<C> }
  : O extends { requestBody?: { content: infer C } }
    ? { body?: Sent<C> }
    : unknown;

/** What a call takes beside its path. */
export type Options<P extends keyof paths, M extends Method> = Parameters<Operation<P, M>> &
  Body<Operation<P, M>> & { signal?: AbortSignal };

/** The options of a call, which may be left out if none is required. */
export type Arguments<P extends keyof paths, M extends Method> =
  RequiredKeysOf<Options<P, M>> extends never ? [options?: Options<P, M>] : [options: Options<P, M>];

/** The options of a GET with these `include` and `fields`. */
export type GetOptions<P extends Path<"get">, I, F> = Omit<Options<P, "get">, "query"> & {
  [K in keyof Pick<Options<P, "get">, keyof Options<P, "get"> & "query">]: Omit<Query<P>, "include" | "fields">;
} & { query?: { include?: I; fields?: F } };

/** The paths whose GET can do without options. */
export type PlainPath = { [P in Path<"get">]: RequiredKeysOf<Options<P, "get">> extends never ? P : never }[Path<"get">];

/** The body of a successful response, as the document has it; `undefined` if it has none. */
export type Data<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer All } ? Content<All[keyof All & (200 | 201 | 202 | 204)]> : never;
type Content<R> = R extends { content: { "application/json": infer Body } } ? Body : undefined;

/** The values that the parameter `include` or `fields` of a path takes. */
export type Choice<P extends Path<"get">, Name extends "include" | "fields"> =
  Query<P> extends { [N in Name]?: (infer Value)[] } ? Value : never;

/** What a GET responds with: references are objects if `include` names them, else ids; only what `fields` names is there. */
export type Shown<P extends Path<"get">, I, F> =
  Data<P, "get"> extends { items: (infer T)[] }
    ? Omit<Data<P, "get">, "items"> & { items: ShownItem<P, T, I, F>[] }
    : ShownItem<P, Data<P, "get">, I, F>;

type ShownItem<P extends Path<"get">, T, I, F> = [Choice<P, "include" | "fields">] extends [never]
  ? T
  : { [K in keyof T as IsFixed<F> extends true ? K & Element<F> : K]: Reference<T[K], K, Choice<P, "include">, I> };

/** A property is a reference if `include` can name it. Which of them are objects is unknown if the type of `include` is `string[]`. */
type Reference<V, K, Includable, I> = K extends Includable
  ? I extends readonly []
    ? Exclude<V, object>
    : IsFixed<I> extends true
      ? K extends Element<I>
        ? Exclude<V, string>
        : Exclude<V, object>
      : V
  : V;
type Element<A> = A extends readonly (infer T)[] ? T : never;
/** Whether it is known what an array holds, and that it holds anything. */
type IsFixed<A> = A extends readonly [] ? false : A extends readonly unknown[] ? (number extends A["length"] ? false : true) : false;

/** The paths of lists. */
export type ListPath = {
  [P in Path<"get">]: Data<P, "get"> extends { items: unknown[]; next_cursor?: string | null } ? P : never;
}[Path<"get">];

export type Item<T> = T extends { items: (infer E)[] } ? E : never;

/** The paths of what can be read and changed. */
export type EditPath = Path<"get"> & Path<"patch">;

type Patch<P extends EditPath> = Options<P, "patch"> extends { body: infer B } ? B : never;

/** A thing to change: what the market sets is read-only. */
export type Draft<P extends EditPath> = {
  -readonly [K in keyof Shown<P, [], []> & keyof Patch<P>]: Shown<P, [], []>[K];
} & {
  readonly [K in Exclude<keyof Shown<P, [], []>, keyof Patch<P>>]: Shown<P, [], []>[K];
};
