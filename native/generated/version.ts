// Generated from packages/keyheads/package.json by `npm run generate`.
export const version = "0.1.0";
