/**
 * The result types, under the name that the library uses for them. They are declared beside the
 * report, which must read them without depending on this package.
 */
import type { schemaVersion as reportVersion } from "@keyheads/report";

export type * from "@keyheads/report";

/** A literal of the report's own type, so that importing a result type loads no chart library. */
export const schemaVersion: typeof reportVersion = 1;
