// What a circuit of edges is a part of: all edges of the model's graph, by the names of circuit files.
import type { ModelSpec } from "@keyheads/native";
import {
  type CircuitMasks,
  emptyMasks,
  type LayerMasks,
  type Mask,
  senderIndex,
} from "../attribution/edges/circuit-graph.ts";
import { KeyheadsError } from "../errors.ts";
import { graphShape } from "./circuit-file.ts";
import type { PartSpace } from "./circuit-space.ts";
import { type EdgeEnds, graphEdges, nodeComponent } from "./graph.ts";

export class EdgeSpace implements PartSpace<string> {
  readonly all: readonly string[];
  readonly #spec: ModelSpec;
  readonly #ends: ReadonlyMap<string, EdgeEnds>;

  constructor(spec: ModelSpec) {
    this.#spec = spec;
    this.#ends = new Map([...graphEdges(graphShape(spec))].map((edge) => [edge.name, edge]));
    this.all = [...this.#ends.keys()];
  }

  nameOf(edge: string): string {
    return edge;
  }

  isComparable(): boolean {
    return true;
  }

  /** Throws BAD_ARGUMENT for edges that the model does not have, or that are named twice. */
  check(edges: readonly string[]): void {
    const seen = new Set<string>();
    for (const edge of edges) {
      if (!this.#ends.has(edge)) {
        throw new KeyheadsError(
          "BAD_ARGUMENT",
          `there is no edge "${edge}" in this model; edges are written input->a0.h1<q>, a0.h1->m2, m2->logits`,
        );
      }
      if (seen.has(edge)) throw new KeyheadsError("BAD_ARGUMENT", `${edge} is named twice`);
      seen.add(edge);
    }
  }

  /** All edges but these. */
  masksWithout(removed: readonly string[]): CircuitMasks {
    const masks = emptyMasks(this.#spec);
    const gone = new Set(removed);
    for (const [name, edge] of this.#ends) {
      if (!gone.has(name)) this.#mask(masks, edge)[this.#sender(edge.from)] = 1;
    }
    return masks;
  }

  #mask(masks: CircuitMasks, { to, input }: EdgeEnds): Mask {
    const reader = nodeComponent(to);
    if (!reader) return masks.logits;
    const layer = masks.layers[reader.layer] as LayerMasks;
    return input === undefined ? layer.mlp : (layer[input][reader.head] as Mask);
  }

  #sender(from: string): number {
    const node = nodeComponent(from);
    if (!node) return senderIndex.embedding;
    const { layer, head } = node;
    return head < 0
      ? senderIndex.mlp(this.#spec, layer)
      : senderIndex.head(this.#spec, layer, head);
  }
}
