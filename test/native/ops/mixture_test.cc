#include "ops/mixture.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: rows, experts, how many of them are chosen
struct RouteCase {
  const char* name = "route";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const {
    return {{0, 4, 2},  {1, 1, 1},   {3, 2, 1},   {5, 8, 2},    {9, 7, 3},
            {4, 16, 4}, {17, 33, 1}, {6, 15, 15}, {300, 64, 8}, {31, 5, 5}};
  }
  Shape random_shape(Random& random) const {
    const int64_t experts = random.size(70);
    return {random.size(100), experts, random.between(1, experts)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("logits", s[0], s[1]);
    b.out("weights", s[0], s[1]);
    b.gradient(Role::sets, "logits");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::route(ctx, ops::Route<T>{.weights = b["weights"], .logits = b["logits"], .chosen = s[2]});
  }
  template <class T>
  void backward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::route_backward(
        ctx, ops::RouteBackward<T>{
                 .dlogits = b["dlogits"], .dweights = b["dweights"], .weights = b["weights"]});
  }
  // As it is written in the papers: all probabilities, the largest of them, divided by their sum.
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      const double* x = b["logits"].row(r);
      std::vector<double> chances(static_cast<size_t>(s[1]));
      double sum = 0;
      for (int64_t e = 0; e < s[1]; ++e) sum += chances[e] = std::exp(x[e]);
      for (double& p : chances) p /= sum;
      std::vector<int64_t> order(chances.size());
      std::iota(order.begin(), order.end(), int64_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t i, int64_t j) { return chances[i] > chances[j]; });
      double chosen = 0;
      for (int64_t i = 0; i < s[2]; ++i) chosen += chances[order[i]];
      for (int64_t i = 0; i < s[1]; ++i) {
        b["weights"].row(r)[order[i]] = i < s[2] ? chances[order[i]] / chosen : 0;
      }
    }
  }
  // Not where a step changes which are chosen.
  bool smooth(const Shape& s, Buffers<double>& exact, int64_t row, double step) const {
    if (s[2] == s[1]) return true;
    std::vector<double> x(exact["logits"].row(row), exact["logits"].row(row) + s[1]);
    std::sort(x.begin(), x.end(), std::greater<>());
    return x[s[2] - 1] - x[s[2]] > step;
  }
  // Of equal logits the first are chosen, and far smaller ones have a weight of zero.
  void extra_on(Report& report, Context& ctx) const {
    Memory<float> logits{1, 3, 3, 3, 1}, weights(5);
    const auto route = [&] {
      ops::route(ctx, ops::Route<float>{.weights = {weights.data(), 1, 5, 5},
                                        .logits = {logits.data(), 1, 5, 5},
                                        .chosen = 2});
      if (ctx.device) ctx.device->synchronize();
    };
    route();
    const float ties[5] = {0, 0.5f, 0.5f, 0, 0};
    if (std::memcmp(weights.data(), ties, sizeof ties) != 0) report.fail("ties");
    logits[4] = 2000;
    route();
    const float alone[5] = {0, 0, 0, 0, 1};
    if (std::memcmp(weights.data(), alone, sizeof alone) != 0) report.fail("a far larger logit");
  }
};

// shape: rows, experts, how many of them are chosen
struct ChoicesCase {
  const char* name = "choices";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return RouteCase().shapes(); }
  Shape random_shape(Random& random) const { return RouteCase().random_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    // few different numbers, so that there are ties
    Random random("logits");
    b.fixed("logits", s[0], s[1],
            [&](int64_t, int64_t) { return static_cast<double>(random.below(9)); });
    b.saved("y", s[0], s[2]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::choices(ctx, ops::Choices<T>{.y = b["y"], .logits = b["logits"]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      const double* x = b["logits"].row(r);
      std::vector<int64_t> order(static_cast<size_t>(s[1]));
      std::iota(order.begin(), order.end(), int64_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t i, int64_t j) { return x[i] > x[j]; });
      for (int64_t i = 0; i < s[2]; ++i) b["y"].row(r)[i] = static_cast<double>(order[i]);
    }
  }
};

// shape: rows of the batch, columns, experts, rows of this expert
struct MixExpertCase {
  const char* name = "mix_expert";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const {
    return {{1, 1, 1, 0},  {1, 15, 2, 1},  {5, 16, 4, 3},    {8, 17, 8, 8},
            {9, 33, 3, 2}, {31, 63, 7, 9}, {300, 65, 8, 77}, {70, 128, 2, 70}};
  }
  Shape random_shape(Random& random) const {
    const int64_t rows = random.size(100);
    return {rows, random.size(200), random.size(20), random.between(1, rows)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[3], s[1]);
    b.in("weights", s[0], s[2]);
    b.out("y", s[0], s[1]);
    b.gradient(Role::sets, "x");
    b.add(Role::saved, "column", s[0], 1);
    // distinct rows, in no order
    std::vector<int32_t> rows(static_cast<size_t>(s[0]));
    std::iota(rows.begin(), rows.end(), 0);
    Random random("rows");
    for (size_t i = rows.size(); i > 1; --i) {
      std::swap(rows[i - 1], rows[random.below(static_cast<int64_t>(i))]);
    }
    rows.resize(static_cast<size_t>(s[3]));
    b.ints("rows", rows);
  }
  static int64_t expert(const Shape& s) { return s[2] / 2; }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) std::fill_n(b["y"].row(r), s[1], T(0));
    ops::mix_expert(ctx, ops::MixExpert<T>{.y = b["y"],
                                           .x = b["x"],
                                           .weights = b["weights"],
                                           .rows = b.ints("rows"),
                                           .expert = expert(s)});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Mat<T> column = b["column"];
    for (int64_t r = 0; r < s[0]; ++r) column.row(r)[0] = 0;
    // the gradient of this expert's column
    ops::mix_expert_backward(ctx, ops::MixExpertBackward<T>{.dx = b["dx"],
                                                            .dweights = {column.data - expert(s),
                                                                         s[0], s[2], column.stride},
                                                            .dy = b["dy"],
                                                            .x = b["x"],
                                                            .weights = b["weights"],
                                                            .rows = b.ints("rows"),
                                                            .expert = expert(s)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      std::fill_n(b["y"].row(r), s[1], 0.0);
      b["column"].row(r)[0] = 0;
    }
    for (int64_t i = 0; i < s[3]; ++i) {
      const int32_t row = b.ints("rows")[i];
      for (int64_t c = 0; c < s[1]; ++c) {
        b["y"].row(row)[c] = b["weights"].row(row)[expert(s)] * b["x"].row(i)[c];
        b["column"].row(row)[0] += b["dy"].row(row)[c] * b["x"].row(i)[c];
      }
    }
  }
};

REGISTER_OP(RouteCase)
REGISTER_OP(ChoicesCase)
REGISTER_OP(MixExpertCase)

}  // namespace
}  // namespace keyheads::test
