// Generated from native/src/schema by `npm run generate`.
#pragma once
namespace keyheads {
inline constexpr const char* kSchemaHash = "61dd767ed9d1";
}  // namespace keyheads
