// Generated from native/src/schema by `npm run generate`.
#pragma once
namespace keyheads {
inline constexpr const char* kSchemaHash = "f98224183532";
}  // namespace keyheads
