export type Status = "ok" | "note" | "problem";

/** One line of `doctor`. */
export interface Check {
  readonly name: string;
  readonly status: Status;
  readonly value: string;
  /** What to do; empty where there is nothing to do. */
  readonly remedy: string;
}

export const fine = (name: string, value: string): Check => ({
  name,
  status: "ok",
  value,
  remedy: "",
});

export const note = (name: string, value: string, remedy = ""): Check => ({
  name,
  status: "note",
  value,
  remedy,
});

export const problem = (name: string, value: string, remedy: string): Check => ({
  name,
  status: "problem",
  value,
  remedy,
});
