#include "ops/slices.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: rows and columns of the weight, then of the slice: first row, rows, first column, columns
const std::vector<Shape> kShapes = {{1, 1, 0, 1, 0, 1},       {16, 8, 0, 16, 0, 8},
                                    {65, 31, 0, 65, 0, 31},   {130, 40, 5, 100, 7, 20},
                                    {200, 64, 64, 64, 0, 64}, {70, 16, 3, 1, 0, 16},
                                    {100, 1, 20, 70, 0, 1}};

Shape any_slice(Random& random) {
  const int64_t rows = random.size(200), columns = random.size(130);
  const int64_t row = random.below(rows), column = random.below(columns);
  return {rows,   columns,
          row,    random.between(1, rows - row),
          column, random.between(1, columns - column)};
}

bool inside(const Shape& s, int64_t r, int64_t c) {
  return r >= s[2] && r < s[2] + s[3] && c >= s[4] && c < s[4] + s[5];
}

template <Storage storage>
struct ReadSliceCase {
  const char* name = storage == Storage::full ? "read_slice" : "read_slice_bf16";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_slice(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.weight("w", s[0], s[1], storage);
    b.saved("out", s[3], s[5]);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::read_slice(
        ctx, ops::ReadSlice<T>{
                 .out = b["out"], .w = b.weight("w"), .n0 = s[2], .k0 = s[4], .master = nullptr});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[3]; ++r) {
      for (int64_t c = 0; c < s[5]; ++c) {
        b["out"].row(r)[c] = b.panels("w").at(s[2] + r, s[4] + c);
      }
    }
  }
  // A master that rounds to the weight is what was rounded; another one is out of date.
  void each_on(Report& report, Context& ctx, const Shape& s) const {
    if (storage == Storage::full) return;
    Buffers<float> b;
    declare(s, b);
    const Weight<float> w = b.weight("w");
    Memory<float> masters;
    std::vector<float> want;
    for (int64_t i = 0; i < s[3] * s[5]; ++i) {
      const float stored = b.field("w").stored(s[2] + i / s[5], s[4] + i % s[5]);
      masters.push_back(i % 3 == 0 ? stored + 1 : stored * (1 + 1e-4f));
      want.push_back(i % 3 == 0 ? stored : masters.back());
    }
    ops::read_slice(ctx,
                    ops::ReadSlice<float>{
                        .out = b["out"], .w = w, .n0 = s[2], .k0 = s[4], .master = masters.data()});
    if (ctx.device) ctx.device->synchronize();
    for (int64_t i = 0; i < s[3] * s[5]; ++i) {
      if (b["out"].row(i / s[5])[i % s[5]] != want[i]) return report.fail("a master's value");
    }
  }
};

template <Storage storage>
struct WriteSliceCase {
  const char* name = storage == Storage::full ? "write_slice" : "write_slice_bf16";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_slice(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.add(Role::inout, "w", s[0], s[1], true);
    b.fixed("values", s[3], s[5]);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::write_slice(
        ctx, ops::WriteSlice<T>{.w = b.weight("w"), .values = b["values"], .n0 = s[2], .k0 = s[4]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[3]; ++r) {
      for (int64_t c = 0; c < s[5]; ++c) {
        b.panels("w").at(s[2] + r, s[4] + c) = b["values"].row(r)[c];
      }
    }
  }
  // As bfloat16: rounded in the slice, the same bits outside.
  void each_on(Report& report, Context& ctx, const Shape& s) const {
    if (storage == Storage::full) return;
    Buffers<float> b;
    declare(s, b);
    Field<float>& w = b.field("w");
    w.storage = Storage::bf16;
    w.weight();  // made by the first call
    std::vector<float> before;
    for (int64_t i = 0; i < s[0] * s[1]; ++i) before.push_back(w.stored(i / s[1], i % s[1]));
    forward(ctx, s, b);
    if (ctx.device) ctx.device->synchronize();
    for (int64_t i = 0; i < s[0] * s[1]; ++i) {
      const int64_t r = i / s[1], c = i % s[1];
      const float want =
          inside(s, r, c) ? rounded_to_bf16(b["values"].row(r - s[2])[c - s[4]]) : before[i];
      if (w.stored(r, c) != want) return report.fail("a bfloat16 weight");
    }
  }
};

REGISTER_OP(ReadSliceCase<Storage::full>)
REGISTER_OP(ReadSliceCase<Storage::bf16>)
REGISTER_OP(WriteSliceCase<Storage::full>)
REGISTER_OP(WriteSliceCase<Storage::bf16>)

}  // namespace
}  // namespace keyheads::test
