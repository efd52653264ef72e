#include "ops/blocks.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: rows, blocks, width
const std::vector<Shape> kShapes = {{0, 2, 8},  {1, 1, 1},   {3, 1, 17},  {2, 3, 5},  {5, 4, 16},
                                    {7, 2, 33}, {300, 3, 7}, {40, 8, 64}, {33, 5, 65}};

Shape any_shape(Random& random) { return {random.size(150), random.size(9), random.size(90)}; }

// How the engine moves heads: side by side, the same for all, or along a diagonal.
enum class From { side, same, diagonal };

template <From from>
struct CopyBlocksCase {
  const char* name = from == From::side   ? "copy_blocks"
                     : from == From::same ? "copy_blocks_same"
                                          : "copy_blocks_diagonal";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_shape(random); }
  static int64_t step(const Shape& s, int64_t stride) {
    return from == From::side ? s[2] : from == From::same ? 0 : stride + s[2];
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const int64_t lines = from == From::diagonal ? s[1] : 1;
    b.in("x", s[0] * lines, from == From::same ? s[2] : s[1] * s[2]);
    b.out("y", s[0], s[1] * s[2]);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Mat<T> x = b["x"], y = b["y"];
    ops::copy_blocks(ctx,
                     ops::CopyBlocks<T>{.y = y.data,
                                        .x = x.data,
                                        .rows = s[0],
                                        .blocks = s[1],
                                        .width = s[2],
                                        .y_row = y.stride,
                                        .y_block = s[2],
                                        .x_row = x.stride * (x.rows / std::max<int64_t>(s[0], 1)),
                                        .x_block = step(s, x.stride)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t i = 0; i < s[0]; ++i) {
      for (int64_t j = 0; j < s[1]; ++j) {
        for (int64_t c = 0; c < s[2]; ++c) {
          b["y"].row(i)[j * s[2] + c] = from == From::side ? b["x"].row(i)[j * s[2] + c]
                                        : from == From::same
                                            ? b["x"].row(i)[c]
                                            : b["x"].row(i * s[1] + j)[j * s[2] + c];
        }
      }
    }
  }
  // Rows side by side are one piece.
  void each_on(Report& report, Context& ctx, const Shape& s) const {
    const int64_t n = s[0] * s[2];
    Memory<float> x(static_cast<size_t>(n)), y(x.size() + 1, -1);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    ops::copy_rows<float>(ctx, {y.data(), s[0], s[2], s[2]}, {x.data(), s[0], s[2], s[2]});
    if (ctx.device) ctx.device->synchronize();
    if (!std::equal(x.begin(), x.end(), y.begin()) || y.back() != -1) {
      report.fail("rows without gaps");
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {3584, 4, 128};
    Buffers<float> b;
    declare(s, b);
    p.measure("3584 x 4 x 128", 0, 3584.0 * 512 * 8, [&] { forward(p.ctx, s, b); });
  }
};

struct SumBlocksCase {
  const char* name = "sum_blocks";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[0], s[1] * s[2]);
    b.out("y", s[0], s[2]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::sum_blocks(ctx, ops::SumBlocks<T>{.y = b["y"], .x = b["x"]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t i = 0; i < s[0]; ++i) {
      for (int64_t c = 0; c < s[2]; ++c) {
        double sum = 0;
        for (int64_t j = 0; j < s[1]; ++j) sum += b["x"].row(i)[j * s[2] + c];
        b["y"].row(i)[c] = sum;
      }
    }
  }
  // In ascending blocks, not in any order.
  void extra_on(Report& report, Context& ctx) const {
    const Memory<float> x{1e8f, 1, -1e8f};
    Memory<float> y(1);
    ops::sum_blocks(ctx, ops::SumBlocks<float>{.y = {y.data(), 1, 1, 1}, .x = {x.data(), 1, 3, 3}});
    if (ctx.device) ctx.device->synchronize();
    if (y[0] != (1e8f + 1.0f) - 1e8f) report.fail("blocks are not summed in ascending order");
  }
};

REGISTER_OP(CopyBlocksCase<From::side>)
REGISTER_OP(CopyBlocksCase<From::same>)
REGISTER_OP(CopyBlocksCase<From::diagonal>)
REGISTER_OP(SumBlocksCase)

}  // namespace
}  // namespace keyheads::test
