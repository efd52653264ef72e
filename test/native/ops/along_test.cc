#include "ops/along.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

struct AlongCase {
  const char* name = "along";
  double tolerance = 3e-6;
  // items, rows of the longest, heads, values, width
  std::vector<Shape> shapes() const {
    return {{1, 1, 1, 1, 1},    {2, 3, 1, 5, 17},    {1, 2, 2, 49, 33},
            {3, 4, 3, 7, 15},   {2, 5, 12, 97, 64},  {2, 3, 17, 48, 31},
            {1, 1, 16, 2, 600}, {4, 2, 33, 13, 257}, {2, 12, 12, 157, 96}};
  }
  Shape random_shape(Random& random) const {
    return {random.size(5), random.size(9), random.size(40), random.size(120), random.size(300)};
  }
  // Item i has one row less than the longest, where it is odd.
  static std::vector<int32_t> starts_of(const Shape& s) {
    std::vector<int32_t> starts{0};
    for (int64_t i = 0; i < s[0]; ++i) {
      starts.push_back(starts.back() + static_cast<int32_t>(std::max<int64_t>(0, s[1] - i % 2)));
    }
    return starts;
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const int64_t rows = starts_of(s).back();
    b.in("g", rows, s[2] * s[4]);
    b.in("values", s[3] * rows, s[4]);
    b.out("y", s[0], s[2] * s[3]);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const std::vector<int32_t> starts = starts_of(s);
    ops::along(ctx, ops::Along<T>{.y = b["y"],
                                  .g = b["g"],
                                  .values = b["values"],
                                  .count = s[3],
                                  .heads = s[2],
                                  .starts = starts.data()});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    const std::vector<int32_t> starts = starts_of(s);
    const int64_t rows = starts.back();
    for (int64_t i = 0; i < s[0]; ++i) {
      for (int64_t h = 0; h < s[2]; ++h) {
        for (int64_t v = 0; v < s[3]; ++v) {
          double sum = 0;
          for (int64_t r = starts[i]; r < starts[i + 1]; ++r) {
            for (int64_t c = 0; c < s[4]; ++c) {
              sum += b["g"].row(r)[h * s[4] + c] * b["values"].row(v * rows + r)[c];
            }
          }
          b["y"].row(i)[h * s[3] + v] = sum;
        }
      }
    }
  }
  void perf(const Perf& p) const {
    for (const int64_t heads : {1, 12}) {
      const Shape s = {16, 12, heads, 157, 768};
      Buffers<float> b;
      declare(s, b);
      const double products = 184.0 * static_cast<double>(heads) * 157 * 768;
      p.measure(heads == 1 ? "1 head, 157 values" : "12 heads, 157 values", 2 * products,
                184.0 * 768 * 4 * static_cast<double>(157 + heads), [&] { forward(p.ctx, s, b); });
    }
  }
};

REGISTER_OP(AlongCase)

}  // namespace
}  // namespace keyheads::test
