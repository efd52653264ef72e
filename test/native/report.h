// Collects what the cases of one op found, and the registry of ops.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "random.h"

namespace keyheads::test {

class Report {
 public:
  // One comparison: `share` is the error in units of what is allowed; above 1 (or NaN) fails.
  void compare(double share, const std::function<std::string()>& describe);
  void fail(const std::string& message);
  void count_case() { ++cases_; }

  int cases() const { return cases_; }
  int failures() const { return failures_; }
  double worst() const { return worst_; }
  const std::string& worst_where() const { return worst_where_; }

 private:
  int cases_ = 0;
  int failures_ = 0;
  double worst_ = 0;
  std::string worst_where_;
};

// Times f, best of many, and prints a line.
class Perf {
 public:
  Perf(Context ctx, bool cpu_time) : ctx(ctx), cpu_time(cpu_time) {}
  void measure(const std::string& label, double flops, double bytes,
               const std::function<void()>& f) const;
  mutable Context ctx;
  bool cpu_time;  // of the calling thread, instead of elapsed time
};

struct OpTest {
  std::string name;
  std::function<void(Report&)> test;  // none: it needs a device
  std::function<void(const Perf&)> perf;
  // one case of a random shape; on the CPU without a device
  std::function<void(Report&, Random&, Device*)> fuzz{};
  std::function<void(Report&, Device&)> on_device{};
};
std::vector<OpTest>& op_tests();
bool add_op_test(OpTest test);

// A context for the tests: pools are shared between calls.
Context context(Isa isa, int threads);

}  // namespace keyheads::test
