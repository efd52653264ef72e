#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace keyheads {

// `code` reaches TypeScript as the `code` of the rejected promise's error (binding.ts).
struct Error : std::runtime_error {
  Error(std::string_view code, const std::string& message)
      : std::runtime_error(message), code(code) {}
  std::string code;
};

template <class... Parts>
[[noreturn]] void fail(std::string_view code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

}  // namespace keyheads
