// Which options go together, by method.
import { KeyheadsError } from "../errors.ts";
import {
  type ApproximateMethod,
  approximateMethods,
  type IdentifyOptions,
  type Method,
  type MlpPath,
  type Positions,
  patchingMethods,
} from "./options.ts";
import { checkWholeGroups, type Receiver } from "./paths/receivers.ts";

export interface Choice {
  readonly method: Method;
  readonly positions: Positions;
  readonly mlpPath: MlpPath;
  /** None: the logits. */
  readonly receivers: readonly Receiver[];
  readonly wholeGroups: boolean;
}

export function isApproximate(method: Method): method is ApproximateMethod {
  return approximateMethods.some((name) => name === method);
}

const overEdges: readonly Method[] = ["eap", "eap-ig"];
const paths: readonly Method[] = ["exact", "naive"];
const direct: readonly Method[] = [...paths, "direct-gradient"];

/** Throws BAD_ARGUMENT for options that contradict each other. */
export function checkMethod(options: IdentifyOptions): Choice {
  const method: Method = options.method ?? "exact";
  const { receivers = [], wholeGroups = false } = options;
  const everywhere =
    overEdges.includes(method) || receivers.some(({ input }) => input === "k" || input === "v");
  const positions = options.positions ?? (everywhere ? "all" : "end");
  const mlpPath = options.mlpPath ?? "recompute";
  const methods: readonly Method[] = [...patchingMethods, ...approximateMethods];
  if (!methods.includes(method)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `unknown method "${method}"; there are ${methods.slice(0, -1).join(", ")} and ${methods.at(-1)}`,
    );
  }
  if (positions === "all" && direct.includes(method) && receivers.length === 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `method "${method}" replaces senders at END only, where they reach the logits; positions "all" needs receivers, or method "activation" or an approximation of it`,
    );
  }
  if (positions === "end" && method === "eap-ig") {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      'method "eap-ig" leads whole prompts from X_r to X_c: positions "all"',
    );
  }
  if (mlpPath === "freeze" && !direct.includes(method)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `method "${method}" recomputes everything downstream; mlpPath "freeze" is for path patching`,
    );
  }
  checkOwn(method, options);
  checkWholeGroups(
    wholeGroups,
    receivers.map(({ input }) => input),
  );
  return { method, positions, mlpPath, receivers, wholeGroups };
}

/** Options that only some methods take. */
function checkOwn(method: Method, options: IdentifyOptions): void {
  const { steps, interpolate, parts, edges, receivers, wholeGroups } = options;
  const own: readonly (readonly [string, unknown, readonly Method[]])[] = [
    ["steps", steps, ["eap-ig"]],
    ["interpolate", interpolate, ["eap-ig"]],
    ["parts", parts, ["atp", "atp-star"]],
    ["edges", edges, overEdges],
    ["receivers", receivers, paths],
    ["wholeGroups", wholeGroups, paths],
  ];
  for (const [name, value, methods] of own) {
    if (value === undefined || methods.includes(method)) continue;
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${name} is an option of ${methods.join(" and ")}, not of ${method}`,
    );
  }
  for (const [name, value, least] of [
    ["steps", steps, 1],
    ["edges", edges, 0],
  ] as const) {
    if (value === undefined || (Number.isInteger(value) && value >= least)) continue;
    throw new KeyheadsError("BAD_ARGUMENT", `${name} ${value}: expected an integer from ${least}`);
  }
}

export function approximationOptions(method: ApproximateMethod, options: IdentifyOptions) {
  return {
    method,
    steps: options.steps ?? 5,
    interpolate: options.interpolate ?? "inputs",
    parts: options.parts ?? method === "atp-star",
    edges: overEdges.includes(method) && options.edges !== 0,
  } as const;
}
