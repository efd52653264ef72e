#include "ops/elementwise.h"

#include <numeric>

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
  void extra_on(Report& report, Context& ctx) const {
    Buffers<float> b;
    declare({5, 33}, b);
    b.inout("x", 5, 33);
    ops::add(ctx, ops::Add<float>{.y = b["y"], .a = b["x"], .b = b["b"]});
    ops::add(ctx, ops::Add<float>{.y = b["x"], .a = b["x"], .b = b["b"]});
    if (ctx.device) ctx.device->synchronize();
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

// Every row of y at most once, in no order.
struct AssignRowsCase {
  const char* name = "assign_rows";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return {{0, 4, 8}, {1, 1, 1}, {4, 9, 33}, {70, 500, 65}}; }
  Shape random_shape(Random& random) const {
    const int64_t rows = random.size(200);
    return {random.below(rows + 1), rows, random.size(260)};
  }
  static std::vector<int32_t> distinct_rows(int64_t count, int64_t of) {
    std::vector<int32_t> rows(static_cast<size_t>(of));
    std::iota(rows.begin(), rows.end(), 0);
    Random random("distinct");
    for (size_t i = rows.size(); i > 1; --i) {
      std::swap(rows[i - 1], rows[random.below(static_cast<int64_t>(i))]);
    }
    rows.resize(static_cast<size_t>(count));
    return rows;
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", s[0], s[2]);
    b.inout("y", s[1], s[2]);
    b.ints("rows", distinct_rows(s[0], s[1]));
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::assign_rows(ctx, ops::AssignRows<T>{.y = b["y"], .x = b["x"], .rows = b.ints("rows")});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[2]; ++c) b["y"].row(b.ints("rows")[r])[c] = b["x"].row(r)[c];
    }
  }
};

struct AddRowCase {
  const char* name = "add_row";
  double tolerance = 2e-7;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return {random.size(300), random.size(260)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[0], s[1]);
    b.in("row", 1, s[1]);
    b.out("y", s[0], s[1]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::add_row(ctx, ops::AddRow<T>{.y = b["y"], .x = b["x"], .row = b.ptr("row")});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) b["y"].row(r)[c] = b["x"].row(r)[c] + b.ptr("row")[c];
    }
  }
};

// Rows r and r + 1 of a matrix whose rows differ in one bit, in every third place, or not at all.
struct EqualRowsCase {
  const char* name = "equal_rows";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return {{2, 1}, {5, 15}, {9, 33}, {300, 65}}; }
  Shape random_shape(Random& random) const { return {random.between(2, 300), random.size(260)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", s[0], s[1],
            [](int64_t r, int64_t c) { return c == 0 ? static_cast<double>(r / 2 % 3) : 0.5; });
    b.saved("equal", 1, s[0] - 1);
    std::vector<int32_t> rows(static_cast<size_t>(s[0]));
    std::iota(rows.begin(), rows.end(), 0);
    b.ints("rows", rows);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    std::vector<int32_t> equal(static_cast<size_t>(s[0] - 1), -1);
    ops::equal_rows(ctx, ops::EqualRows<T>{.equal = equal.data(),
                                           .x = b["x"],
                                           .a = b.ints("rows"),
                                           .b = b.ints("rows") + 1,
                                           .count = s[0] - 1});
    for (size_t i = 0; i < equal.size(); ++i) b.ptr("equal")[i] = static_cast<T>(equal[i]);
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r + 1 < s[0]; ++r) b.ptr("equal")[r] = r % 2 == 0 ? 1 : 0;
  }
  // Bits, not numbers: NaN equals itself, and the zeros differ.
  void extra_on(Report& report, Context& ctx) const {
    const Memory<float> x{NAN, NAN, 0.0f, -0.0f};
    const int32_t a[2] = {0, 2}, b[2] = {1, 3};
    int32_t equal[2] = {-1, -1};
    ops::equal_rows(ctx, ops::EqualRows<float>{
                             .equal = equal, .x = {x.data(), 4, 1, 1}, .a = a, .b = b, .count = 2});
    if (equal[0] != 1 || equal[1] != 0) report.fail("rows are compared as numbers");
  }
};

REGISTER_OP(AddCase)
REGISTER_OP(AddScaledCase)
REGISTER_OP(GatherRowsCase)
REGISTER_OP(ScatterRowsCase)
REGISTER_OP(AssignRowsCase)
REGISTER_OP(AddRowCase)
REGISTER_OP(EqualRowsCase)

}  // namespace
}  // namespace keyheads::test
