// Generated from native/src/schema by `npm run generate`.
#pragma once
namespace keyheads {
inline constexpr const char* kSchemaHash = "523385834bf1";
}  // namespace keyheads
