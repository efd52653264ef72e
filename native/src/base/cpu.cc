#include "base/cpu.h"

#include <cpuid.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include "base/check.h"

namespace keyheads {
namespace {

bool supported(Isa isa) {
#ifdef KEYHEADS_ONLY_ISA
  if (isa != Isa::KEYHEADS_ONLY_ISA) return false;
#endif
  switch (isa) {
    case Isa::v4_bf16:
      return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16");
    case Isa::v4:
      return __builtin_cpu_supports("x86-64-v4");
    case Isa::v3:
      return __builtin_cpu_supports("x86-64-v3");
    case Isa::v2:
      return __builtin_cpu_supports("x86-64-v2");
  }
  return false;
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

std::vector<int> read_allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);  // more than CPU_SETSIZE CPUs: run on one, unpinned
  return cpus;
}

}  // namespace

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::v2, Isa::v3, Isa::v4, Isa::v4_bf16}) {
    if (supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa detect_isa() {
  const std::vector<Isa> isas = supported_isas();
  if (isas.empty()) {
    fail("BAD_ARGUMENT", "this processor (", cpu_name(),
         ") has no SSE4.2; keyheads needs x86-64-v2 or better");
  }
  const char* wanted = std::getenv("KEYHEADS_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back();
  for (const Isa isa : {Isa::v2, Isa::v3, Isa::v4, Isa::v4_bf16}) {
    const std::string_view name = isa_name(isa);
    if (wanted != name && wanted != name.substr(name.rfind('v'))) continue;
    if (supported(isa)) return isa;
    fail("BAD_ARGUMENT", "KEYHEADS_ISA=", wanted, ": this processor (", cpu_name(),
         ") supports at most ", isa_name(isas.back()));
  }
  fail("BAD_ARGUMENT", "KEYHEADS_ISA=", wanted, " is not one of v2, v3, v4, v4-bf16");
}

const char* isa_name(Isa isa) {
  switch (isa) {
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

std::string cpu_name() {
  unsigned regs[12] = {};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    unsigned* r = regs + 4 * leaf;
    if (!__get_cpuid(0x80000002u + leaf, r, r + 1, r + 2, r + 3)) return "unknown";
  }
  char text[sizeof regs + 1] = {};
  std::memcpy(text, regs, sizeof regs);
  std::string name(text);
  name.erase(0, std::min(name.find_first_not_of(' '), name.size()));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

const std::vector<int>& allowed_cpus() {
  static const std::vector<int> cpus = read_allowed_cpus();
  return cpus;
}

int default_threads() {
  const int cpus = static_cast<int>(allowed_cpus().size());
  const double quota = cgroup_quota();
  return quota > 0 ? std::clamp(static_cast<int>(std::ceil(quota)), 1, cpus) : cpus;
}

}  // namespace keyheads
