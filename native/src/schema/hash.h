// Generated from native/src/schema by `npm run generate`.
#pragma once
namespace keyheads {
inline constexpr const char* kSchemaHash = "dbcce9e6f508";
}  // namespace keyheads
