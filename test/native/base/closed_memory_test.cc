// What the CUDA shim promises of its device memory: a host that touches it ends.
#ifdef __linux__  // op_tests are also built for systems without the shim and without fork
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/cpu.h"
#include "base/device.h"
#include "ops/elementwise.h"
#include "report.h"

namespace keyheads::test {
namespace {

// Whether a process that reads this ends with SIGSEGV.
bool is_closed(const float* there) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    _exit(*static_cast<const volatile float*>(there) == 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

void check_device(Report& report, Device& device) {
  if (std::strncmp(device.info().name, "CPU", 3) != 0) return;  // a GPU's memory may be shared
  constexpr int64_t kCount = 8;
  constexpr int kLaunches = 200;
  Context ctx = context(detect_isa(), 1);
  ctx.device = &device;
  auto* const there = static_cast<float*>(device.take(kCount * sizeof(float)));
  const Mat<float> m{there, 1, kCount, kCount};
  report.count_case();
  device.zero(there, kCount * sizeof(float));
  if (!is_closed(there)) report.fail("memory can be read after it was cleared");
  report.count_case();
  int closed = 0;
  for (int i = 0; i < kLaunches; ++i) {
    ops::add(ctx, ops::Add<float>{m, m, m});
    closed += is_closed(there);
  }
  // after one in 16, by a fixed sequence of random numbers
  if (closed == 0) report.fail("memory can be read after every kernel");
  report.count_case();
  float here[kCount];
  ops::add(ctx, ops::Add<float>{m, m, m});
  device.download(here, there, sizeof here);
  if (!is_closed(there)) report.fail("memory can be read after a copy");
  device.give_back(there);
}

[[maybe_unused]] const bool registered =
    add_op_test({.name = "closed_memory", .test = {}, .perf = {}, .on_device = check_device});

}  // namespace
}  // namespace keyheads::test
#endif
