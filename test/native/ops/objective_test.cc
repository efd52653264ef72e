#include "ops/objective.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: rows, columns, how many of them a row weighs; 0: all of them, in order
struct WeighColumnsCase {
  const char* name = "weigh_columns";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const {
    return {{0, 8, 2},  {1, 1, 1},  {3, 16, 1},  {5, 17, 5},   {9, 33, 40},
            {4, 15, 0}, {7, 64, 0}, {31, 65, 3}, {300, 130, 2}};
  }
  Shape random_shape(Random& random) const {
    return {random.size(100), random.size(200), random.below(9)};
  }
  static int64_t width(const Shape& s) { return s[2] == 0 ? s[1] : s[2]; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[0], s[1]);
    b.fixed("weights", 1, s[0] * width(s));
    // sums are double for both element types; the rest of them beside what a T can hold
    b.out("sums", 1, s[0]);
    b.gradient(Role::adds, "x");
    Random random("ids");
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < s[0] * s[2]; ++i) ids.push_back(random.below(s[1]));
    b.ints("ids", ids);
  }
  template <class T>
  const int32_t* ids(const Shape& s, Buffers<T>& b) const {
    return s[2] == 0 ? nullptr : b.ints("ids");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    std::vector<double> sums(static_cast<size_t>(s[0]));
    ops::weigh_columns(ctx, ops::WeighColumns<T>{.sums = sums.data(),
                                                 .x = b["x"],
                                                 .ids = ids(s, b),
                                                 .weights = b.ptr("weights"),
                                                 .width = width(s)});
    for (int64_t r = 0; r < s[0]; ++r) b.ptr("sums")[r] = static_cast<T>(sums[r]);
  }
  // The weights are of one objective: a row's sum has a gradient of 1.
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    std::vector<T> scaled(static_cast<size_t>(s[0] * width(s)));
    for (int64_t i = 0; i < std::ssize(scaled); ++i) {
      scaled[i] = b.ptr("weights")[i] * b.ptr("dsums")[i / width(s)];
    }
    ops::weigh_columns_backward(
        ctx, ops::WeighColumnsBackward<T>{
                 .dx = b["dx"], .ids = ids(s, b), .weights = scaled.data(), .width = width(s)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      double sum = 0;
      for (int64_t j = 0; j < width(s); ++j) {
        const int64_t i = r * width(s) + j;
        sum += b.ptr("weights")[i] * b["x"].row(r)[s[2] == 0 ? j : b.ints("ids")[i]];
      }
      b.ptr("sums")[r] = sum;
    }
  }
  // In double: a float would lose the small term.
  void extra_on(Report& report, Context& ctx) const {
    const Memory<float> x{1e8f, 1, -1e8f};
    const float weights[3] = {1, 1, 1};
    double sum = 0;
    ops::weigh_columns(ctx, ops::WeighColumns<float>{.sums = &sum,
                                                     .x = {x.data(), 1, 3, 3},
                                                     .ids = nullptr,
                                                     .weights = weights,
                                                     .width = 3});
    if (sum != 1) report.fail("the sum is not in double");
  }
};

REGISTER_OP(WeighColumnsCase)

}  // namespace
}  // namespace keyheads::test
