#ifdef __aarch64__
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <fstream>

#include "base/cpu.h"

namespace keyheads {

bool has_isa(Isa isa) { return isa == Isa::neon; }  // part of every 64-bit Arm

#ifdef __APPLE__

std::string cpu_name() {
  char name[128] = {};
  size_t size = sizeof name - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 ? name : "unknown";
}

#else

// Linux gives most Arm processors no name, only the numbers of their maker and design.
std::string cpu_name() {
  std::string maker = "unknown", part = "unknown";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name")) return value;
    if (line.starts_with("CPU implementer")) maker = value;
    if (line.starts_with("CPU part")) part = value;
  }
  return "Arm processor (implementer " + maker + ", part " + part + ")";
}

#endif

}  // namespace keyheads
#endif
