// The AVX-512 kernels of linear on a processor that need not have them.
#include "ops/linear.h"

#include "op_case.h"

namespace keyheads::ops {
DECLARE_OP_FOR(emulated, linear, Linear)
DECLARE_OP_FOR(emulated, selected_linear, SelectedLinear)
DECLARE_OP_FOR(emulated, linear_input_grad, LinearInputGrad)
}  // namespace keyheads::ops

namespace keyheads::test {
namespace {

// x W^T + bias as AVX512_BF16 computes it: pair after pair, the second number of each first.
float chain(const float* x, const Panels<float>& w, int64_t n, const float* bias) {
  float sum = 0;
  for (int64_t k = 0; k < w.k; k += 2) {
    if (k + 1 < w.k) {
      sum = std::fma(rounded_to_bf16(x[k + 1]), w.at(n, k + 1), sum);
    }
    sum = std::fma(rounded_to_bf16(x[k]), w.at(n, k), sum);
  }
  return bias ? sum + bias[n] : sum;
}

// The same of dy W, along the rows of W.
float gradient_chain(const float* dy, const Panels<float>& w, int64_t k) {
  float sum = 0;
  for (int64_t n = 0; n < w.n; n += 2) {
    if (n + 1 < w.n) {
      sum = std::fma(rounded_to_bf16(dy[n + 1]), w.at(n + 1, k), sum);
    }
    sum = std::fma(rounded_to_bf16(dy[n]), w.at(n, k), sum);
  }
  return sum;
}

void check(Report& report, int64_t m, int64_t k, int64_t n) {
  report.count_case();
  const std::string where =
      std::to_string(m) + "x" + std::to_string(k) + "x" + std::to_string(n) + ": ";
  Context ctx = context(Isa::v3, 2);
  Buffers<float> b;
  b.in("x", m, k);
  b.in("bias", 1, n);
  b.in("dy", m, n);
  b.weight("w", n, k, Storage::bf16);
  for (const char* name : {"y", "full", "want"}) b.saved(name, m, n);
  for (const char* name : {"dx", "dx_want"}) b.saved(name, m, k);
  const Weight<float> half = b.weight("w");
  const Weight<float> full{b.panels("w").data, n, k, Storage::full};
  const float* bias = b.ptr("bias");

  ops::emulated::linear(ctx, ops::Linear<float>{.y = b["y"], .x = b["x"], .w = half, .bias = bias});
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      if (b["y"].row(r)[c] != chain(b["x"].row(r), b.panels("w"), c, bias)) {
        return report.fail(where + "products of pairs are not one chain");
      }
    }
  }
  Random random("ids");
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < 3 * m; ++i) ids.push_back(random.below(n));
  b.saved("selected", m, 3);
  ops::emulated::selected_linear(
      ctx, ops::SelectedLinear<float>{
               .y = b["selected"], .x = b["x"], .w = half, .ids = ids.data(), .bias = nullptr});
  for (int64_t i = 0; i < 3 * m; ++i) {
    const float want =
        chain(b["x"].row(i / 3), b.panels("w"), ids[static_cast<size_t>(i)], nullptr);
    if (b["selected"].row(i / 3)[i % 3] != want) {
      return report.fail(where + "selected_linear has other bits than linear");
    }
  }

  const auto input_grad = [&](const Weight<float>& w) {
    ops::emulated::linear_input_grad(
        ctx,
        ops::LinearInputGrad<float>{.dx = b["dx"], .dy = b["dy"], .w = w, .accumulate = false});
  };
  input_grad(half);
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t c = 0; c < k; ++c) {
      if (b["dx"].row(r)[c] != gradient_chain(b["dy"].row(r), b.panels("w"), c)) {
        return report.fail(where + "input gradients of pairs are not one chain");
      }
    }
  }

  // In full, the bits are those of other instruction sets.
  const auto same = [&](const char* got, const char* want) {
    Mat<float> g = b[got], w = b[want];
    for (int64_t r = 0; r < g.rows; ++r) {
      if (std::memcmp(g.row(r), w.row(r), static_cast<size_t>(g.cols) * sizeof(float)) != 0) {
        report.fail(where + got + " has other bits than with v3");
        return;
      }
    }
  };
  ops::emulated::linear(ctx,
                        ops::Linear<float>{.y = b["full"], .x = b["x"], .w = full, .bias = bias});
  ops::linear(ctx, ops::Linear<float>{.y = b["want"], .x = b["x"], .w = full, .bias = bias});
  same("full", "want");
  input_grad(full);
  ops::linear_input_grad(ctx,
                         ops::LinearInputGrad<float>{
                             .dx = b["dx_want"], .dy = b["dy"], .w = full, .accumulate = false});
  same("dx", "dx_want");
  const std::string touched = b.touched();
  if (!touched.empty()) report.fail(where + "wrote to " + touched);
}

void check_all(Report& report) {
  const std::vector<Isa> isas = supported_isas();
  if (std::find(isas.begin(), isas.end(), Isa::v3) == isas.end()) return;  // emulation needs FMA
  for (const int64_t m : {1, 2, 3, 5, 6, 7, 13, 37}) {
    for (const int64_t k : {1, 2, 31, 64, 257, 513}) {
      for (const int64_t n : {1, 16, 33, 64, 130}) check(report, m, k, n);
    }
  }
}

[[maybe_unused]] const bool registered =
    add_op_test({.name = "linear_emulated", .test = check_all, .perf = {}});

}  // namespace
}  // namespace keyheads::test
