// op_tests [NAME...]           runs the cases of all ops, or of those whose name contains a NAME
// op_tests --perf [NAME...]    times them on all threads, best of many
// op_tests --cpu [NAME...]     times them on one thread by its CPU time, for a machine that is busy
// op_tests --fuzz SECONDS [--seed N] [NAME...]
//                              random shapes, from case N on; --fuzz 0 --seed N runs that case
//                              alone
// op_tests --device LIBRARY [--fuzz SECONDS [--seed N]] [NAME...]
//                              runs the cases on the device of a CUDA library
// op_tests --floors            the machine's peak operations and bytes a second, as JSON
// op_tests --gemm f32|bf16 M N K ...
//                              operations a second of matrix products of these shapes, as JSON
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "base/cpu.h"
#include "base/device.h"
#include "base/pool.h"
#include "floors.h"
#include "gemm_rate.h"
#include "report.h"

namespace keyheads::test {

void Report::compare(double share, const std::function<std::string()>& describe) {
  if (share <= worst_) return;
  if (share <= 1) {
    worst_ = share;
    worst_where_ = describe();
  } else {
    fail(describe());
  }
}

void Report::fail(const std::string& message) {
  constexpr int kShown = 8;
  ++failures_;
  if (failures_ <= kShown) std::printf("    FAILED %s\n", message.c_str());
}

namespace {

double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

void Perf::measure(const std::string& label, double flops, double bytes,
                   const std::function<void()>& f) const {
  const clockid_t clock = cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  f();
  double start = seconds(clock);
  f();
  const double once = seconds(clock) - start;
  const int repeats = std::max(1, static_cast<int>(2e-3 / std::max(once, 1e-7)));
  double best = once;
  const double end = seconds(CLOCK_MONOTONIC) + 0.4;
  while (seconds(CLOCK_MONOTONIC) < end) {
    start = seconds(clock);
    for (int i = 0; i < repeats; ++i) f();
    best = std::min(best, (seconds(clock) - start) / repeats);
  }
  std::printf("  %-44s %10.2f us", label.c_str(), best * 1e6);
  if (flops > 0) std::printf("  %7.1f GFLOP/s", flops / best * 1e-9);
  if (bytes > 0) std::printf("  %7.1f GB/s", bytes / best * 1e-9);
  std::printf("\n");
  std::fflush(stdout);
}

std::vector<OpTest>& op_tests() {
  static std::vector<OpTest> tests;
  return tests;
}

bool add_op_test(OpTest test) {
  op_tests().push_back(std::move(test));
  return true;
}

Context context(Isa isa, int threads) {
  static std::map<int, std::unique_ptr<Pool>> pools;
  std::unique_ptr<Pool>& pool = pools[threads];
  if (!pool) pool = std::make_unique<Pool>(threads);
  Context ctx{.isa = isa, .pool = pool.get(), .progress = {}};
  return ctx;
}

namespace {

bool selected(const std::string& name, int count, char** names) {
  for (int i = 0; i < count; ++i) {
    if (name.find(names[i]) != std::string::npos) return true;
  }
  return count == 0;
}

// Case n is an op and a shape drawn from n, whatever came before: a failure can be run alone.
int fuzz(double duration, int64_t seed, int count, char** names, Device* device) {
  std::vector<OpTest> tests;
  for (const OpTest& test : op_tests()) {
    if (test.fuzz && selected(test.name, count, names)) tests.push_back(test);
  }
  if (tests.empty()) {
    std::printf("no op with random shapes has such a name\n");
    return 1;
  }
  std::sort(tests.begin(), tests.end(),
            [](const OpTest& a, const OpTest& b) { return a.name < b.name; });
  const double end = seconds(CLOCK_MONOTONIC) + duration;
  int64_t cases = 0, failed = 0;
  for (; cases == 0 || seconds(CLOCK_MONOTONIC) < end; ++cases) {
    const int64_t number = seed + cases;
    Random random("case " + std::to_string(number));
    const OpTest& test = tests[static_cast<size_t>(random.below(std::ssize(tests)))];
    Report report;
    test.fuzz(report, random, device);
    if (report.failures() == 0) continue;
    ++failed;
    std::string only;
    for (int i = 0; i < count; ++i) only += std::string(" ") + names[i];
    std::printf("FAILED %s; again: op_tests%s --fuzz 0 --seed %lld%s\n", test.name.c_str(),
                device ? " --device LIBRARY" : "", static_cast<long long>(number), only.c_str());
    std::fflush(stdout);
  }
  std::printf("%lld random cases from seed %lld on, %lld failed\n", static_cast<long long>(cases),
              static_cast<long long>(seed), static_cast<long long>(failed));
  return failed == 0 ? 0 : 1;
}

int fuzz(int count, char** arguments, Device* device = nullptr) {
  if (count == 0) throw std::invalid_argument("--fuzz needs a number of seconds");
  const double duration = std::stod(arguments[0]);
  const bool seeded = count > 2 && std::string(arguments[1]) == "--seed";
  const int64_t seed = seeded ? std::stoll(arguments[2]) : 0;
  const int used = seeded ? 3 : 1;
  return fuzz(duration, seed, count - used, arguments + used, device);
}

enum class Mode { test, perf, cpu };

int run(Mode mode, int count, char** names, Device* device = nullptr) {
  auto& tests = op_tests();
  std::sort(tests.begin(), tests.end(),
            [](const OpTest& a, const OpTest& b) { return a.name < b.name; });
  int passed = 0, failed = 0;
  for (const OpTest& test : tests) {
    if (!selected(test.name, count, names)) continue;
    if (mode != Mode::test) {
      if (!test.perf) continue;
      std::printf("%s\n", test.name.c_str());
      const bool cpu = mode == Mode::cpu;
      test.perf(Perf(context(detect_isa(), cpu ? 1 : default_threads()), cpu));
      ++passed;
      continue;
    }
    Report report;
    if (device ? !test.on_device : !test.test) continue;
    device ? test.on_device(report, *device) : test.test(report);
    const bool ok = report.failures() == 0;
    ++(ok ? passed : failed);
    std::printf("%-6s %-24s %4d cases, worst %3.0f %% of tolerance: %s\n", ok ? "ok" : "FAILED",
                test.name.c_str(), report.cases(), 100 * report.worst(),
                report.worst_where().c_str());
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  if (passed + failed == 0) std::printf("no op has such a name\n");
  return failed == 0 && passed > 0 ? 0 : 1;
}

int run_on_device(int count, char** arguments) {
  if (count == 0) throw std::invalid_argument("--device needs a CUDA library");
  Device& device = Device::open(arguments[0], 0, "");
  std::printf("%s\n", device.info().name);
  if (count > 1 && std::string(arguments[1]) == "--fuzz") {
    return fuzz(count - 2, arguments + 2, &device);
  }
  return run(Mode::test, count - 1, arguments + 1, &device);
}

}  // namespace
}  // namespace keyheads::test

int main(int argc, char** argv) {
  using keyheads::test::Mode;
  const std::string first = argc > 1 ? argv[1] : "";
  const Mode mode = first == "--perf" ? Mode::perf : first == "--cpu" ? Mode::cpu : Mode::test;
  const int skip = mode == Mode::test ? 1 : 2;
  try {
    if (first == "--floors") {
      keyheads::test::print_floors();
      return 0;
    }
    if (first == "--gemm") {
      keyheads::test::print_gemm_rates(argc - 2, argv + 2);
      return 0;
    }
    std::string isas;
    for (const keyheads::Isa isa : keyheads::supported_isas()) {
      isas += std::string(" ") + keyheads::isa_name(isa);
    }
    std::printf("%s:%s\n", keyheads::cpu_name().c_str(), isas.c_str());
    if (first == "--device") return keyheads::test::run_on_device(argc - 2, argv + 2);
    if (first == "--fuzz") return keyheads::test::fuzz(argc - 2, argv + 2);
    return keyheads::test::run(mode, argc - skip, argv + skip);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "op_tests: %s\n", e.what());
    return 1;
  }
}
