#include "ops/elementwise.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

std::vector<int32_t> some_rows(int64_t count, int64_t of) {
  Random random("rows");
  std::vector<int32_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(random.below(of));
  return rows;
}

const std::vector<Shape> kShapes = {{0, 8},  {1, 1},  {1, 15},   {3, 16},   {2, 17},   {5, 31},
                                    {4, 33}, {7, 64}, {300, 65}, {33, 127}, {200, 256}};

struct AddCase {
  const char* name = "add";
  double tolerance = 2e-7;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return {random.size(300), random.size(260)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("a", s[0], s[1]);
    b.in("b", s[0], s[1]);
    b.out("y", s[0], s[1]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::add(ctx, ops::Add<T>{.y = b["y"], .a = b["a"], .b = b["b"]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) b["y"].row(r)[c] = b["a"].row(r)[c] + b["b"].row(r)[c];
    }
  }
  // y may be a
  void extra(Report& report) const {
    Buffers<float> b;
    declare({5, 33}, b);
    b.inout("x", 5, 33);
    Context ctx = context(detect_isa(), 1);
    ops::add(ctx, ops::Add<float>{.y = b["y"], .a = b["x"], .b = b["b"]});
    ops::add(ctx, ops::Add<float>{.y = b["x"], .a = b["x"], .b = b["b"]});
    for (int64_t r = 0; r < 5; ++r) {
      if (std::memcmp(b["x"].row(r), b["y"].row(r), 33 * sizeof(float)) != 0) {
        report.fail("y = a differs in place");
      }
    }
  }
  void perf(const Perf& p) const {
    Buffers<float> b;
    declare({3584, 512}, b);
    p.measure("3584 x 512", 0, 3584.0 * 512 * 12, [&] { forward(p.ctx, {}, b); });
  }
};

struct AddScaledCase {
  const char* name = "add_scaled";
  double tolerance = 2e-7;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return {random.size(300), random.size(260)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", s[0], s[1]);
    b.inout("y", s[0], s[1]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::add_scaled(ctx, ops::AddScaled<T>{.y = b["y"], .x = b["x"], .factor = T(0.75)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) b["y"].row(r)[c] += 0.75 * b["x"].row(r)[c];
    }
  }
};

struct GatherRowsCase {
  const char* name = "gather_rows";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return {{0, 4, 8}, {1, 1, 1}, {9, 4, 33}, {500, 70, 65}}; }
  Shape random_shape(Random& random) const {
    return {random.size(300), random.size(70), random.size(260)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[1], s[2]);
    b.out("y", s[0], s[2]);
    b.ints("rows", some_rows(s[0], s[1]));
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::gather_rows(ctx, ops::GatherRows<T>{.y = b["y"], .x = b["x"], .rows = b.ints("rows")});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[2]; ++c) b["y"].row(r)[c] = b["x"].row(b.ints("rows")[r])[c];
    }
  }
};

struct ScatterRowsCase {
  const char* name = "scatter_rows";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const { return {{0, 4, 8}, {1, 1, 1}, {9, 4, 33}, {500, 70, 257}}; }
  Shape random_shape(Random& random) const {
    return {random.size(300), random.size(70), random.size(260)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", s[0], s[2]);
    b.inout("y", s[1], s[2]);
    b.ints("rows", some_rows(s[0], s[1]));
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::scatter_rows(ctx, ops::ScatterRows<T>{.y = b["y"], .x = b["x"], .rows = b.ints("rows")});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[2]; ++c) b["y"].row(b.ints("rows")[r])[c] += b["x"].row(r)[c];
    }
  }
};

REGISTER_OP(AddCase)
REGISTER_OP(AddScaledCase)
REGISTER_OP(GatherRowsCase)
REGISTER_OP(ScatterRowsCase)

}  // namespace
}  // namespace keyheads::test
