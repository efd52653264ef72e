/** Version of this package. */
export { version } from "@keyheads/native";
