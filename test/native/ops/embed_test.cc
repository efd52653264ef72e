#include "ops/embed.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: tokens, vocabulary, columns, then the slice of the gradient: first row, rows, first
// column, columns
template <Storage storage>
struct EmbedCase {
  const char* name = storage == Storage::full ? "embed" : "embed_bf16";
  static constexpr float kFactor = 2.75f;
  std::vector<Shape> shapes() const {
    return {{0, 5, 8, 0, 5, 0, 8},          {1, 1, 1, 0, 1, 0, 1},
            {9, 16, 33, 0, 16, 0, 33},      {40, 65, 31, 0, 65, 0, 31},
            {40, 65, 31, 7, 9, 3, 17},      {700, 127, 64, 0, 127, 0, 64},
            {300, 130, 200, 64, 66, 0, 200}};
  }
  Shape random_shape(Random& random) const {
    const int64_t rows = random.size(130), columns = random.size(200);
    const int64_t row = random.below(rows), column = random.below(columns);
    return {random.size(300),
            rows,
            columns,
            row,
            random.between(1, rows - row),
            column,
            random.between(1, columns - column)};
  }
  // One product; a sum of n products that goes on from what is there. Roundings are 2^-24 each.
  std::vector<double> bounds(const Shape& s, Buffers<double>& exact,
                             const std::string& name) const {
    const bool output = name == "y";
    const int64_t cols = output ? s[2] : s[6];
    std::vector<double> bound;
    const auto add = [&](double size, double roundings) {
      bound.push_back(0x1p-24 * roundings * size);
    };
    if (output) {
      for (int64_t i = 0; i < s[0] * cols; ++i)
        add(std::abs(exact["y"].row(i / cols)[i % cols]), 1);
      return bound;
    }
    const Mat<double> dy = exact["dy"];
    for (int64_t n = s[3]; n < s[3] + s[4]; ++n) {
      for (int64_t c = s[5]; c < s[5] + cols; ++c) {
        double size = std::abs(exact["dw"].row(n - s[3])[c - s[5]]), terms = 1;
        for (int64_t m = 0; m < s[0]; ++m) {
          if (exact.ints("ids")[m] != n) continue;
          size += kFactor * std::abs(dy.row(m)[c]);
          ++terms;
        }
        add(size, 2 * terms);
      }
    }
    return bound;
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.weight("w", s[1], s[2], storage);
    b.out("y", s[0], s[2]);
    b.gradient(Role::adds, "w", s[4], s[6], s[3], s[5]);
    Random random("ids");
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < s[0]; ++i) ids.push_back(random.below(s[1]));
    b.ints("ids", ids);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::embed(
        ctx,
        ops::Embed<T>{.y = b["y"], .w = b.weight("w"), .ids = b.ints("ids"), .factor = T(kFactor)});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::embed_backward(ctx, ops::EmbedBackward<T>{.dw = b["dw"],
                                                   .dy = b["dy"],
                                                   .ids = b.ints("ids"),
                                                   .n0 = s[3],
                                                   .k0 = s[5],
                                                   .factor = T(kFactor)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t m = 0; m < s[0]; ++m) {
      for (int64_t c = 0; c < s[2]; ++c)
        b["y"].row(m)[c] = kFactor * b.panels("w").at(b.ints("ids")[m], c);
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {3584, 512, 256, 0, 512, 0, 256};
    Buffers<float> b;
    declare(s, b);
    p.measure("3584 tokens, 256 columns", 0, 3584.0 * 256 * 8, [&] { forward(p.ctx, s, b); });
    p.measure("backward", 0, 3584.0 * 256 * 12, [&] { backward(p.ctx, s, b); });
  }
};

REGISTER_OP(EmbedCase<Storage::full>)
REGISTER_OP(EmbedCase<Storage::bf16>)

}  // namespace
}  // namespace keyheads::test
