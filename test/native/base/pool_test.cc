#include "base/pool.h"

#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "report.h"

namespace keyheads::test {
namespace {

template <class F>
void run(Pool& pool, int64_t count, const F& f) {
  pool.run(
      count, [](void* data, int64_t i) { (*static_cast<const F*>(data))(i); }, const_cast<F*>(&f));
}

void expect(Report& report, bool holds, const std::string& what) {
  report.count_case();
  if (!holds) report.fail(what);
}

void every_chunk_once(Report& report, Pool& pool) {
  for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
    const auto done = std::make_unique<std::atomic<int>[]>(static_cast<size_t>(count) + 1);
    run(pool, count, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
    bool once = true;
    for (int64_t i = 0; i < count; ++i) once &= done[static_cast<size_t>(i)] == 1;
    expect(report, once, std::to_string(count) + " chunks: not every chunk ran once");
  }
}

void many_short_runs(Report& report, Pool& pool) {
  int64_t wrong = 0;
  for (int64_t round = 0; round < 20000; ++round) {
    const int64_t count = 2 + round % 5;
    std::atomic<int64_t> sum{0};
    run(pool, count, [&](int64_t i) { sum += i + 1; });
    wrong += sum != count * (count + 1) / 2;
  }
  expect(report, wrong == 0, std::to_string(wrong) + " of 20000 short runs went wrong");
}

void errors_reach_the_caller(Report& report, Pool& pool) {
  for (int round = 0; round < 50; ++round) {
    std::string code;
    try {
      run(pool, 40, [](int64_t i) {
        if (i % 8 == 3) fail("OUT_OF_MEMORY", "chunk ", i);
      });
    } catch (const Error& error) {
      code = error.code;
    }
    expect(report, code == "OUT_OF_MEMORY", "an error in a chunk arrived as '" + code + "'");
    std::atomic<int> after{0};
    run(pool, 10, [&](int64_t) { ++after; });
    expect(report, after == 10, "after an error the pool does not run all chunks");
  }
}

void runs_inside_chunks(Report& report, Pool& pool) {
  std::atomic<int> inner{0};
  run(pool, 8, [&](int64_t) { run(pool, 5, [&](int64_t) { ++inner; }); });
  expect(report, inner == 40, "runs inside chunks: not every chunk ran");
}

void scratch_is_per_thread(Report& report, Pool& pool) {
  std::atomic<int> mixed{0};
  run(pool, 200, [&](int64_t i) {
    auto* mine = static_cast<int64_t*>(thread_scratch(4096));
    if (reinterpret_cast<uintptr_t>(mine) % 64 != 0) ++mixed;
    for (int64_t j = 0; j < 512; ++j) mine[j] = i;
    for (int64_t j = 0; j < 512; ++j) mixed += mine[j] != i;
  });
  expect(report, mixed == 0, "scratch memory is shared between threads, or not aligned");
}

// Threads that share the pool, runs inside chunks, errors, and another number of threads, all at
// once: what a thread sanitizer needs to see.
void callers_share_the_pool(Report& report) {
  constexpr int kCallers = 3, kRounds = 400;
  Pool pool(2);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  const auto call = [&](int caller) {
    std::vector<int64_t> squares(97);
    for (int64_t round = 0; round < kRounds; ++round) {
      const int64_t count = 1 + (caller * 31 + round * 7) % 97;
      bool thrown = false;
      try {
        run(pool, count, [&](int64_t i) {
          auto* mine = static_cast<int64_t*>(thread_scratch(64));
          *mine = i;
          std::atomic<int64_t> inner{0};
          run(pool, 3, [&](int64_t j) { inner += j; });
          if (round % 16 == 5 && i == count / 2) fail("INTERNAL", "chunk ", i);
          squares[static_cast<size_t>(i)] = *mine * *mine + inner - 3;
        });
      } catch (const Error&) {
        thrown = true;
      }
      if (thrown != (round % 16 == 5)) ++wrong;
      for (int64_t i = 0; i < count && !thrown; ++i) {
        if (squares[static_cast<size_t>(i)] != i * i) ++wrong;
      }
    }
  };
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) callers.emplace_back(call, caller);
  std::thread resizer([&] {
    for (int n = 0; !done; ++n) {
      pool.set_threads(1 + n % 5);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  for (std::thread& caller : callers) caller.join();
  done = true;
  resizer.join();
  expect(report, wrong == 0, std::to_string(wrong) + " runs of threads that share a pool failed");
}

// Threads come to assist and leave again while others run chunks and the pool changes its size:
// every chunk still runs once, and no one waits for ever.
void assistants_come_and_go(Report& report) {
  Pool pool(2);
  std::atomic<bool> done{false};
  std::atomic<int64_t> visits{0}, assisted{0};
  std::atomic<int> wrong{0};
  const auto assist = [&] {
    while (!done) {
      Assistant assistant(pool);
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
      bool enough = false;
      while (!enough && !done) {
        enough = std::chrono::steady_clock::now() >= until;
        assistant.wait([&] { return ++visits % 512 == 0; }, until);
      }
    }
  };
  std::vector<std::thread> assistants;
  for (int i = 0; i < 2; ++i) assistants.emplace_back(assist);
  const auto caller = std::this_thread::get_id();
  for (int round = 0; round < 1500; ++round) {
    if (round % 100 == 0) pool.set_threads(1 + round / 100 % 4);
    const int64_t count = 2 + round % 40;
    std::atomic<int64_t> sum{0};
    run(pool, count, [&](int64_t i) {
      sum += i + 1;
      if (std::this_thread::get_id() != caller) ++assisted;
    });
    wrong += sum != count * (count + 1) / 2;
    if (round % 300 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  done = true;
  for (std::thread& thread : assistants) thread.join();
  expect(report, wrong == 0, std::to_string(wrong) + " runs with assistants went wrong");
  expect(report, visits > 0 && assisted > 0, "nobody assisted");
}

// A thread that assists does what the worker would have done, which comes back afterwards.
void assistants_take_a_workers_place(Report& report) {
  Pool pool(2);
  std::atomic<std::thread::id> other{};
  const auto caller = std::this_thread::get_id();
  const auto both_take_part = [&] {
    other = std::thread::id();
    // The caller's chunk waits for the other one.
    run(pool, 2, [&](int64_t) {
      if (std::this_thread::get_id() != caller) other = std::this_thread::get_id();
      while (other.load() == std::thread::id()) std::this_thread::yield();
    });
    return other.load();
  };
  const std::thread::id worker = both_take_part();
  std::atomic<bool> there{false}, enough{false};
  std::thread guest([&] {
    Assistant assistant(pool);
    const auto forever = std::chrono::steady_clock::time_point::max();
    while (!enough) {
      assistant.wait(
          [&] {
            there = true;
            return enough.load();
          },
          forever);
    }
  });
  while (!there) std::this_thread::yield();
  bool came = false;
  for (int i = 0; i < 1000 && !came; ++i) came = both_take_part() == guest.get_id();
  enough = true;
  guest.join();
  expect(report, came, "the thread that assists did not compute");
  expect(report, both_take_part() == worker, "the worker did not come back");
}

void test_pool(Report& report) {
  Pool pool(1);
  for (const int threads : {1, 2, 3, 5, 2}) {
    pool.set_threads(threads);
    expect(report, pool.threads() == threads, "set_threads did not set the threads");
    every_chunk_once(report, pool);
    many_short_runs(report, pool);
    errors_reach_the_caller(report, pool);
    runs_inside_chunks(report, pool);
    scratch_is_per_thread(report, pool);
  }
  callers_share_the_pool(report);
  assistants_come_and_go(report);
  assistants_take_a_workers_place(report);
  pool.set_threads(0);
  expect(report, pool.threads() == default_threads(), "0 threads is not the default number");
}

// An empty value is none.
void set_environment(const char* name, const char* value) {
#ifdef _WIN32
  _putenv_s(name, value);
#else
  setenv(name, value, 1);
#endif
}

std::string detected(const char* wanted) {
  set_environment("KEYHEADS_ISA", wanted);
  std::string result;
  try {
    result = isa_name(detect_isa());
  } catch (const Error& error) {
    result = error.code;
  }
  set_environment("KEYHEADS_ISA", "");
  return result;
}

void test_isa(Report& report) {
  const std::vector<Isa> isas = supported_isas();
  expect(report, detect_isa() == isas.back(), "without a wish, not the best instruction set");
  for (const Isa isa : {Isa::v2, Isa::v3, Isa::v4, Isa::v4_bf16, Isa::neon}) {
    const std::string name = isa_name(isa);
    const std::string level = name.substr(name.find(isa == Isa::neon ? 'n' : 'v'));
    const bool here = std::find(isas.begin(), isas.end(), isa) != isas.end();
    for (const std::string& wanted : {level, name}) {
      const std::string result = detected(wanted.c_str());
      expect(report, result == (here ? name : "BAD_ARGUMENT"),
             "KEYHEADS_ISA=" + wanted + " gives " + result);
    }
  }
  for (const char* wanted : {"sse9", "v", "4", "bf16"}) {
    expect(report, detected(wanted) == "BAD_ARGUMENT",
           std::string("KEYHEADS_ISA=") + wanted + " gives no error");
  }
  expect(report, !cpu_name().empty(), "the processor has no name");
}

const bool registered = add_op_test({.name = "base/pool", .test = test_pool, .perf = {}}) &&
                        add_op_test({.name = "base/isa", .test = test_isa, .perf = {}});

}  // namespace
}  // namespace keyheads::test
