// What Node calls first. This and base/cpu_x86.cc are compiled for every x86-64 processor, the rest
// for x86-64-v2, so that a processor without it gets an error and not an illegal instruction. For
// the same reason nothing of the C++ library is used here: of an inline function that several
// objects have, the linker keeps any.
#include <node_api.h>

#include <cstdio>

#include "base/cpu.h"

namespace keyheads::addon {

napi_value register_addon(napi_env env, napi_value exports);

}  // namespace keyheads::addon

NAPI_MODULE_INIT() {
#ifdef __x86_64__
  if (!keyheads::has_isa(keyheads::Isa::v2)) {
    char message[128];
    std::snprintf(message, sizeof message, "this processor (%s) lacks SSE4.2",
                  keyheads::cpu_brand().text);
    napi_throw_error(env, "OLD_PROCESSOR", message);
    return nullptr;
  }
#endif
  return keyheads::addon::register_addon(env, exports);
}
