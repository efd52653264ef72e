// op_tests [NAME...]           runs the cases of all ops, or of those whose name contains a NAME
// op_tests --perf [NAME...]    times them
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "base/cpu.h"
#include "base/pool.h"
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

void Perf::measure(const std::string& label, double flops, double bytes,
                   const std::function<void()>& f) const {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  f();
  auto start = Clock::now();
  f();
  const double once = seconds(Clock::now() - start);
  const int repeats = std::max(1, static_cast<int>(2e-3 / std::max(once, 1e-7)));
  double best = once;
  const auto end = Clock::now() + std::chrono::milliseconds(400);
  while (Clock::now() < end) {
    start = Clock::now();
    for (int i = 0; i < repeats; ++i) f();
    best = std::min(best, seconds(Clock::now() - start) / repeats);
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
  return {.isa = isa, .pool = pool.get(), .cancelled = nullptr, .progress = {}};
}

namespace {

bool selected(const std::string& name, int count, char** names) {
  for (int i = 0; i < count; ++i) {
    if (name.find(names[i]) != std::string::npos) return true;
  }
  return count == 0;
}

int run(bool perf, int count, char** names) {
  auto& tests = op_tests();
  std::sort(tests.begin(), tests.end(),
            [](const OpTest& a, const OpTest& b) { return a.name < b.name; });
  int passed = 0, failed = 0;
  for (const OpTest& test : tests) {
    if (!selected(test.name, count, names)) continue;
    if (perf) {
      if (!test.perf) continue;
      std::printf("%s\n", test.name.c_str());
      test.perf(Perf(context(detect_isa(), default_threads())));
      ++passed;
      continue;
    }
    Report report;
    test.test(report);
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

}  // namespace
}  // namespace keyheads::test

int main(int argc, char** argv) {
  const bool perf = argc > 1 && std::strcmp(argv[1], "--perf") == 0;
  const int skip = perf ? 2 : 1;
  try {
    std::string isas;
    for (const keyheads::Isa isa : keyheads::supported_isas()) {
      isas += std::string(" ") + keyheads::isa_name(isa);
    }
    std::printf("%s:%s\n", keyheads::cpu_name().c_str(), isas.c_str());
    return keyheads::test::run(perf, argc - skip, argv + skip);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "op_tests: %s\n", e.what());
    return 1;
  }
}
