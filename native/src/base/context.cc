#include "base/context.h"

#include "base/check.h"

namespace keyheads {

void check_cancelled(const Context& ctx) {
  if (ctx.cancelled != nullptr && ctx.cancelled->load(std::memory_order_relaxed)) {
    fail("CANCELLED", "the call was cancelled");
  }
}

}  // namespace keyheads
