#include "base/cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "base/check.h"
#include "base/platform.h"

namespace keyheads {
namespace {

constexpr Isa kAllIsas[] = {Isa::v2, Isa::v3, Isa::v4, Isa::v4_bf16, Isa::neon};

bool supported(Isa isa) {
#ifdef KEYHEADS_ONLY_ISA
  if (isa != Isa::KEYHEADS_ONLY_ISA) return false;
#endif
#ifdef KEYHEADS_WITHOUT_BF16
  if (isa == Isa::v4_bf16) return false;
#endif
  return has_isa(isa);
}

// CPUs' worth of time that the cgroup grants (v2, then v1); 0 if there is no limit.
double cgroup_quota() {
  std::string quota;
  double period = 0;
  if (std::ifstream("/sys/fs/cgroup/cpu.max") >> quota >> period) {
    return quota == "max" || period <= 0 ? 0 : std::atof(quota.c_str()) / period;
  }
  double micros = 0;
  if (std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> micros && micros > 0 &&
      std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period && period > 0) {
    return micros / period;
  }
  return 0;
}

}  // namespace

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAllIsas) {
    if (supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa detect_isa() {
  const std::vector<Isa> isas = supported_isas();
  if (isas.empty()) {
    fail("BAD_ARGUMENT", "this processor (", cpu_name(),
         ") lacks what the kernels of this build need: x86-64-v2 (SSE4.2, of 2009) or better");
  }
  const char* wanted = std::getenv("KEYHEADS_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back();
  for (const Isa isa : kAllIsas) {
    const std::string_view name = isa_name(isa);
    if (wanted != name && wanted != name.substr(name.find(isa == Isa::neon ? 'n' : 'v'))) continue;
    if (supported(isa)) return isa;
    fail("BAD_ARGUMENT", "KEYHEADS_ISA=", wanted, ": this processor (", cpu_name(),
         ") and build support at most ", isa_name(isas.back()));
  }
  fail("BAD_ARGUMENT", "KEYHEADS_ISA=", wanted, " is not one of v2, v3, v4, v4-bf16, neon");
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::neon:
      return "arm64-neon";
    case Isa::v4_bf16:
      return "x86-64-v4-bf16";
    case Isa::v4:
      return "x86-64-v4";
    case Isa::v3:
      return "x86-64-v3";
    case Isa::v2:
      return "x86-64-v2";
  }
  return "";
}

const std::vector<int>& allowed_cpus() {
  static const std::vector<int> cpus = usable_cpus();
  return cpus;
}

int default_threads() {
  const int cpus = static_cast<int>(allowed_cpus().size());
  const double quota = cgroup_quota();
  return quota > 0 ? std::clamp(static_cast<int>(std::ceil(quota)), 1, cpus) : cpus;
}

}  // namespace keyheads
