#include "ops/linear.h"

#include "base/brgemm.h"
#include "fused.h"
#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: M, K, N, bias, accumulate, then the slice of the weight's gradient: first row, rows,
// first column, columns
Shape whole(int64_t m, int64_t k, int64_t n, int64_t bias) {
  return {m, k, n, bias, m % 2, 0, n, 0, k};
}

// With v4_bf16, bfloat16 weights meet inputs rounded to 8 bits: 2^-9 each, and the processor's own
// order of sums. Measured worst: see the report of op_tests on such a machine.
// A chain of K products of normal numbers has the size sqrt(K); each of its sums is rounded by up
// to u = 2^-24 of it. Of all roundings that is u sqrt(K / 6) of the size, as a standard deviation,
// and the shapes here have K up to 600: nine of them.
double linear_tolerance(Storage storage, Isa isa) {
  return storage == Storage::bf16 && isa == Isa::v4_bf16 ? 2e-2 : 5.4e-6;
}
// So they do on a device.
double linear_tolerance_on_device(Storage storage) {
  return storage == Storage::bf16 ? 2e-2 : 2e-6;
}

// With exact = true, inputs that rounding to bfloat16 leaves as they are.
template <Storage storage, bool exact = storage == Storage::full>
struct LinearCase {
  const char* name = storage == Storage::full ? "linear"
                     : exact                  ? "linear_bf16_exact"
                                              : "linear_bf16";
  double tolerance_on(Isa isa) const { return exact ? 2e-6 : linear_tolerance(storage, isa); }
  double tolerance_on_device() const { return exact ? 2e-6 : linear_tolerance_on_device(storage); }
  std::vector<Shape> shapes() const {
    std::vector<Shape> all;
    for (const int64_t n : {1, 15, 16, 17, 31, 33, 63, 64, 65, 127, 256}) {
      all.push_back(whole(1, 65, n, 1));
      all.push_back(whole(9, 31, n, 0));
    }
    for (const int64_t k : {1, 2, 15, 16, 17, 63, 64, 127, 257, 600}) {
      all.push_back(whole(1, k, 70, 0));
      all.push_back(whole(7, k, 33, 1));
    }
    for (const int64_t m : {0, 2, 3, 4, 5, 6, 7, 8, 12, 13, 31, 33, 100, 300}) {
      all.push_back(whole(m, 48, 97, 1));
    }
    all.push_back(whole(530, 130, 192, 1));
    // slices of the gradient
    all.push_back({20, 64, 64, 1, 0, 16, 16, 0, 64});
    all.push_back({21, 64, 192, 0, 1, 100, 7, 3, 40});
    all.push_back({300, 70, 130, 1, 0, 1, 129, 69, 1});
    return all;
  }
  // of many tiles, long sums that are split, few rows
  std::vector<Shape> device_shapes() const {
    return {{1440, 9, 1450, 1, 0, 1380, 70, 0, 9},
            {70, 1030, 65, 1, 1, 3, 60, 2, 1000},
            {1030, 20, 24, 0, 0, 0, 24, 0, 20},
            whole(2, 136, 80, 1),
            whole(3, 260, 50, 0),
            whole(4, 1000, 9, 1)};
  }
  Shape random_shape(Random& random) const {
    const int64_t m = random.size(130), k = random.size(300), n = random.size(260);
    const int64_t row = random.below(n), column = random.below(k);
    return {m,
            k,
            n,
            random.below(2),
            random.below(2),
            row,
            random.between(1, n - row),
            column,
            random.between(1, k - column)};
  }
  static Buffers<double>::Value inputs(const std::string& name, int64_t rows, int64_t cols) {
    const double* normal = normals(name, rows * cols).data();
    if (storage == Storage::full || !exact) return nullptr;
    return [=](int64_t r, int64_t c) {
      return rounded_to_bf16(static_cast<float>(normal[r * cols + c]));
    };
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.add(Role::in, "x", s[0], s[1], false, inputs("x", s[0], s[1]));
    b.weight("w", s[2], s[1], storage);
    b.add(Role::out, "y", s[0], s[2]);
    b.add(Role::cotangent, "dy", s[0], s[2], false, inputs("dy", s[0], s[2]));
    b.gradient(s[4] ? Role::adds : Role::sets, "x");
    b.gradient(Role::adds, "w", s[6], s[8], s[5], s[7]);
    if (s[3] == 0) return;
    b.in("bias", 1, s[2]);
    b.gradient(Role::adds, "bias", 1, s[6], 0, s[5]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::linear(
        ctx, ops::Linear<T>{.y = b["y"], .x = b["x"], .w = b.weight("w"), .bias = b.ptr("bias")});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    input_grad(ctx, s, b);
    weight_grad(ctx, s, b);
    if (s[3] == 0) return;
    ops::linear_bias_grad(
        ctx,
        ops::LinearBiasGrad<T>{.db = b.ptr("dbias"), .dy = b["dy"], .n0 = s[5], .n1 = s[5] + s[6]});
  }
  template <class T>
  void input_grad(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::linear_input_grad(
        ctx, ops::LinearInputGrad<T>{
                 .dx = b["dx"], .dy = b["dy"], .w = b.weight("w"), .accumulate = s[4] == 1});
  }
  template <class T>
  void weight_grad(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::linear_weight_grad(ctx,
                            ops::LinearWeightGrad<T>{
                                .dw = b["dw"], .dy = b["dy"], .x = b["x"], .n0 = s[5], .k0 = s[7]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    const Mat<double> x = b["x"], y = b["y"];
    const Panels<double> w = b.panels("w");
    const double* bias = b.ptr("bias");
    for (int64_t m = 0; m < s[0]; ++m) {
      for (int64_t n = 0; n < s[2]; ++n) {
        double sum = s[3] ? bias[n] : 0;
        for (int64_t k = 0; k < s[1]; ++k) sum += x.row(m)[k] * w.at(n, k);
        y.row(m)[n] = sum;
      }
    }
  }

  void each(Report& report, Isa isa, const Shape& s) const {
    Shape plain = s;
    if (storage == Storage::bf16 && isa == Isa::v4_bf16) plain[3] = 0;  // see check_chain
    check_chain<float>(report, isa, plain);
    check_chain<double>(report, isa, s);
    if (s[4] == 0) check_rows<float>(report, isa, s);
  }
  void extra(Report& report) const {
    if constexpr (storage == Storage::full) check_xsmm(report);
    for (const Isa isa : supported_isas()) {
      for (const int64_t m : {1, 2, 3, 5, 8, 37}) {
        for (const int64_t k : {1, 48, 300, 513, 1100}) {
          each(report, isa, {m, k, 70, 1, 0, 0, 70, 0, k});
        }
      }
    }
  }

  // Where libxsmm is there, it has the bits of one chain too, also when it goes on from y.
  void check_xsmm(Report& report) const {
    if (detect_isa() == Isa::v2) return;
    for (const int64_t depth : {1, 7, 64, 255, 256}) {
      Buffers<float> b;
      b.in("x", 32, depth);
      b.weight("w", kPanel, depth);
      b.inout("y", 32, kPanel);
      Mat<float> y = b["y"], x = b["x"];
      for (const bool accumulate : {true, false}) {
        std::vector<float> want;
        for (int64_t m = 0; m < 32; ++m) {
          for (int64_t n = 0; n < kPanel; ++n) {
            float sum = accumulate ? y.row(m)[n] : 0;
            for (int64_t k = 0; k < depth; ++k) {
              sum = fused(x.row(m)[k], b.panels("w").at(n, k), sum);
            }
            want.push_back(sum);
          }
        }
        if (!xsmm_panel_product(PanelProduct<float>{y.data, y.stride, x.data, x.stride,
                                                    b.panels("w").data, 32, depth, accumulate})) {
          return;
        }
        for (int64_t i = 0; i < 32 * kPanel; ++i) {
          if (y.row(i / kPanel)[i % kPanel] != want[static_cast<size_t>(i)]) {
            return report.fail("libxsmm, depth " + std::to_string(depth) + ": not one chain");
          }
        }
      }
    }
  }

  // Every output of linear and of selected_linear is one chain over ascending k: of bfloat16
  // weights, that of the same weights widened. With v4_bf16 the two ops have equal bits.
  template <class T>
  void check_chain(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    Buffers<T> b;
    declare(s, b);
    forward(ctx, s, b);
    Random random("ids");
    constexpr int64_t kSelected = 5;
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < s[0] * kSelected; ++i) ids.push_back(random.below(s[2]));
    b.out("selected", s[0], kSelected);
    ops::selected_linear(ctx, ops::SelectedLinear<T>{.y = b["selected"],
                                                     .x = b["x"],
                                                     .w = b.weight("w"),
                                                     .ids = ids.data(),
                                                     .bias = nullptr});
    const bool processors = storage == Storage::bf16 && isa == Isa::v4_bf16 && sizeof(T) == 4;
    const Mat<T> x = b["x"], y = b["y"], selected = b["selected"];
    const Panels<T> w = b.panels("w");
    const T* bias = b.ptr("bias");
    const auto chain = [&](int64_t m, int64_t n) {
      if (processors) return y.row(m)[n];
      T sum = 0;
      for (int64_t k = 0; k < s[1]; ++k) {
        const T left = x.row(m)[k], right = w.at(n, k);
        sum = isa == Isa::v2 ? left * right + sum : fused(left, right, sum);
      }
      return sum;
    };
    for (int64_t m = 0; m < s[0]; ++m) {
      for (int64_t n = 0; n < s[2]; ++n) {
        const T want = s[3] ? chain(m, n) + bias[n] : chain(m, n);
        if (y.row(m)[n] != want) return report.fail(where(isa, s) + ": not one chain");
      }
      for (int64_t j = 0; j < kSelected; ++j) {
        if (selected.row(m)[j] != chain(m, ids[static_cast<size_t>(m * kSelected + j)])) {
          return report.fail(where(isa, s) + ": selected_linear is not one chain");
        }
      }
    }
  }

  // A row has the same outputs and input gradients alone and in a batch.
  template <class T>
  void check_rows(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    Buffers<T> b;
    declare(s, b);
    forward(ctx, s, b);
    input_grad(ctx, s, b);
    std::vector<T> y(static_cast<size_t>(s[2])), dx(static_cast<size_t>(s[1]));
    for (int64_t m = 0; m < s[0]; ++m) {
      ops::linear(ctx, ops::Linear<T>{.y = {y.data(), 1, s[2], s[2]},
                                      .x = {b["x"].row(m), 1, s[1], s[1]},
                                      .w = b.weight("w"),
                                      .bias = b.ptr("bias")});
      ops::linear_input_grad(ctx, ops::LinearInputGrad<T>{.dx = {dx.data(), 1, s[1], s[1]},
                                                          .dy = {b["dy"].row(m), 1, s[2], s[2]},
                                                          .w = b.weight("w"),
                                                          .accumulate = false});
      if (std::memcmp(y.data(), b["y"].row(m), y.size() * sizeof(T)) != 0 ||
          std::memcmp(dx.data(), b["dx"].row(m), dx.size() * sizeof(T)) != 0) {
        return report.fail(where(isa, s) + ": a row alone gives other bits");
      }
    }
  }

  static std::string where(Isa isa, const Shape& s) {
    return std::string(isa_name(isa)) + " " + std::to_string(s[0]) + "x" + std::to_string(s[1]) +
           "x" + std::to_string(s[2]);
  }

  void perf(const Perf& p) const {
    for (const Shape& s :
         {whole(1, 512, 512, 0), whole(1, 2048, 5632, 0), whole(8, 512, 512, 0),
          whole(64, 512, 1536, 0), whole(3584, 128, 128, 0), whole(3584, 128, 512, 0),
          whole(3584, 512, 128, 0), whole(3584, 256, 1024, 0), whole(3584, 512, 512, 0),
          whole(3584, 512, 1536, 0)}) {
      Buffers<float> b;
      declare(s, b);
      const double flops = 2.0 * static_cast<double>(s[0] * s[1] * s[2]);
      const std::string size =
          std::to_string(s[0]) + " x " + std::to_string(s[1]) + " -> " + std::to_string(s[2]);
      p.measure(size, flops, 0, [&] { forward(p.ctx, s, b); });
      p.measure(size + " input grad", flops, 0, [&] { input_grad(p.ctx, s, b); });
      p.measure(size + " weight grad", flops, 0, [&] { weight_grad(p.ctx, s, b); });
    }
  }
};

// shape: N, K
template <Storage storage>
struct PackCase {
  const char* name = storage == Storage::full ? "pack" : "pack_bf16";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const {
    return {{1, 1}, {15, 16}, {64, 64}, {65, 33}, {63, 127}, {130, 257}, {512, 48}};
  }
  Shape random_shape(Random& random) const { return {random.size(300), random.size(300)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("matrix");
    b.fixed("matrix", s[0], s[1], [&](int64_t, int64_t) { return stored(random.normal()); });
    b.add(Role::saved, "panels", s[0], s[1], true);
    b.saved("back", s[0], s[1]);
  }
  // a number that packing does not change
  static double stored(double x) {
    const auto value = static_cast<float>(x);
    return storage == Storage::bf16 ? rounded_to_bf16(value) : value;
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    if (ctx.device) return pack_on_device(ctx, b);
    Panels<T> panels = b.panels("panels");
    for (int64_t n = s[0]; n < panels.count() * kPanel; ++n) {
      for (int64_t k = 0; k < s[1]; ++k) panels.at(n, k) = T(7);
    }
    const Weight<T> full{panels.data, s[0], s[1], Storage::full};
    ops::pack(ctx, ops::Pack<T>{.w = full, .matrix = b["matrix"]});
    // op_case's check of what lies around a tensor then sees that the padding is zero again
    Memory<Bf16Pair> pairs;
    const Weight<T> w = storage == Storage::full || sizeof(T) > 4 ? full : dirty_pairs<T>(s, pairs);
    ops::pack(ctx, ops::Pack<T>{.w = w, .matrix = b["matrix"]});
    ops::unpack(ctx, ops::Unpack<T>{.matrix = b["back"], .w = w});
    check_padding(w);
  }
  template <class T>
  static void pack_on_device(Context& ctx, Buffers<T>& b) {
    b.field("panels").storage = storage;
    const Weight<T> w = b.weight("panels");
    ops::pack(ctx, ops::Pack<T>{.w = w, .matrix = b["matrix"]});
    ops::unpack(ctx, ops::Unpack<T>{.matrix = b["back"], .w = w});
  }
  template <class T>
  static Weight<T> dirty_pairs(const Shape& s, Memory<Bf16Pair>& pairs) {
    Weight<T> w{nullptr, s[0], s[1], Storage::bf16};
    pairs.assign(static_cast<size_t>(w.bf16().size()), {0x40e040e0u});
    w.data = pairs.data();
    return w;
  }
  template <class T>
  static void check_padding(const Weight<T>& w) {
    w.visit([](const auto& panels) {
      for (int64_t n = 0; n < panels.count() * kPanel; ++n) {
        const int64_t from = n < panels.n ? panels.k : 0;
        for (int64_t k = from; k < panels.depth() * kPerElement<decltype(*panels.data)>; ++k) {
          if (read_element(panels, n, k) != 0)
            throw std::runtime_error("pack: padding is not zero");
        }
      }
    });
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t n = 0; n < s[0]; ++n) {
      for (int64_t k = 0; k < s[1]; ++k) {
        b.panels("panels").at(n, k) = b["back"].row(n)[k] = b["matrix"].row(n)[k];
      }
    }
  }
  // Packing rounds to the nearest bfloat16, ties to even: found here by looking at both neighbours.
  void extra(Report& report) const {
    if constexpr (storage == Storage::full) return;
    std::vector<float> matrix;
    for (const uint32_t upper : {0x0000u, 0x0001u, 0x3f80u, 0x3f81u, 0x7f7eu, 0x8001u, 0xc2f7u}) {
      for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
        matrix.push_back(Bf16Pair::widen(upper << 16 | lower));
      }
    }
    const auto columns = static_cast<int64_t>(matrix.size());
    for (const Isa isa : supported_isas()) {
      Context ctx = context(isa, 1);
      Memory<Bf16Pair> pairs;
      const Weight<float> w = dirty_pairs<float>({1, columns}, pairs);
      ops::pack(ctx, ops::Pack<float>{.w = w, .matrix = {matrix.data(), 1, columns, columns}});
      for (int64_t k = 0; k < columns; ++k) {
        uint32_t bits;
        std::memcpy(&bits, &matrix[static_cast<size_t>(k)], sizeof bits);
        const double x = matrix[static_cast<size_t>(k)];
        const uint32_t below = bits & 0xffff0000u, above = below + 0x10000u;
        const double down = std::abs(x - Bf16Pair::widen(below));
        const double up = std::abs(Bf16Pair::widen(above) - x);
        const bool even = (below >> 16) % 2 == 0;
        const float want = Bf16Pair::widen(down < up || (down == up && even) ? below : above);
        if (read_element(w.bf16(), 0, k) != want) {
          report.fail(std::string(isa_name(isa)) + ": " + std::to_string(x) +
                      " is not rounded right");
        }
      }
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {1536, 512};
    Buffers<float> b;
    declare(s, b);
    b.field("panels").storage = storage;
    const Weight<float> w = b.weight("panels");
    const double bytes = 1536.0 * 512 * 4 + static_cast<double>(w.bytes());
    p.measure("pack 1536 x 512", 0, bytes,
              [&] { ops::pack(p.ctx, ops::Pack<float>{.w = w, .matrix = b["matrix"]}); });
    p.measure("unpack", 0, bytes,
              [&] { ops::unpack(p.ctx, ops::Unpack<float>{.matrix = b["back"], .w = w}); });
  }
};

// shape: rows, K, N, ids a row
template <Storage storage>
struct SelectedLinearCase {
  const char* name = storage == Storage::full ? "selected_linear" : "selected_linear_bf16";
  double tolerance_on(Isa isa) const { return linear_tolerance(storage, isa); }
  double tolerance_on_device() const { return linear_tolerance_on_device(storage); }
  std::vector<Shape> shapes() const {
    return {{0, 8, 8, 2}, {1, 64, 20, 1}, {9, 33, 65, 2}, {4, 17, 64, 5}, {300, 48, 200, 3}};
  }
  Shape random_shape(Random& random) const {
    return {random.size(130), random.size(130), random.size(200), random.between(1, 9)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[0], s[1]);
    b.weight("w", s[2], s[1], storage);
    b.out("y", s[0], s[3]);
    if (s[3] % 2 == 0) b.in("bias", 1, s[2]);
    Random random("ids");
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < s[0] * s[3]; ++i) ids.push_back(random.below(s[2]));
    b.ints("ids", ids);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::selected_linear(ctx, ops::SelectedLinear<T>{.y = b["y"],
                                                     .x = b["x"],
                                                     .w = b.weight("w"),
                                                     .ids = b.ints("ids"),
                                                     .bias = b.ptr("bias")});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t m = 0; m < s[0]; ++m) {
      for (int64_t j = 0; j < s[3]; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < s[1]; ++k) {
          sum += b["x"].row(m)[k] * b.panels("w").at(b.ints("ids")[m * s[3] + j], k);
        }
        b["y"].row(m)[j] = sum + (b.has("bias") ? b.ptr("bias")[b.ints("ids")[m * s[3] + j]] : 0);
      }
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {3584, 256, 512, 2};
    Buffers<float> b;
    declare(s, b);
    p.measure("3584 rows, 256, 2 ids", 3584.0 * 256 * 4, 0, [&] { forward(p.ctx, s, b); });
  }
};

REGISTER_OP(LinearCase<Storage::full>)
REGISTER_OP(LinearCase<Storage::bf16>)
REGISTER_OP(LinearCase<Storage::bf16, true>)
REGISTER_OP(PackCase<Storage::full>)
REGISTER_OP(PackCase<Storage::bf16>)
REGISTER_OP(SelectedLinearCase<Storage::full>)
REGISTER_OP(SelectedLinearCase<Storage::bf16>)

}  // namespace
}  // namespace keyheads::test
