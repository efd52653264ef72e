#include "model/source.h"

#include "base/check.h"

namespace keyheads {
namespace {

constexpr StoredType kTypes[] = {{"F32", ops::Stored::f32, 4},
                                 {"F64", ops::Stored::f64, 8},
                                 {"F16", ops::Stored::f16, 2},
                                 {"BF16", ops::Stored::bf16, 2}};

}  // namespace

const StoredType& stored_type(const TensorSource& source) {
  for (const StoredType& type : kTypes) {
    if (source.dtype == type.name) return type;
  }
  fail("BAD_CHECKPOINT", "dtype ", source.dtype, " is not one of F32, F64, F16, BF16");
}

const File& Files::at(const std::string& path) {
  std::unique_ptr<File>& file = open_[path];
  if (!file) file = std::make_unique<File>(path);
  return *file;
}

Staging& Files::staging(Device& device) {
  if (!staging_) staging_ = std::make_unique<Staging>(device);
  return *staging_;
}

void check_sources(Files& files, const SlotRef& ref, int64_t n, int64_t k,
                   const std::vector<TensorSource>& parts) {
  int64_t row = 0;
  for (const TensorSource& s : parts) {
    const auto [first_row, last_row] = s.rows;
    if (first_row != row || last_row <= first_row || last_row > n) {
      fail("BAD_CHECKPOINT", describe(ref), ": rows ", first_row, " to ", last_row,
           " were given after the first ", row, " of ", n);
    }
    const StoredMatrix matrix(s);
    const int64_t out = s.transpose ? matrix.second : matrix.first;
    const int64_t in = s.transpose ? matrix.first : matrix.second;
    const int64_t last = s.length < 1 ? out : s.stored_index(last_row - first_row - 1);
    if (s.start < 0 || s.stride < 0 || last >= out || in != k) {
      fail("BAD_CHECKPOINT", s.file, ": ", describe(ref), " wants [", last_row - first_row, ", ", k,
           "] but rows ", s.start, " to ", last, " of a tensor [", out, ", ", in, "] were given");
    }
    files.at(s.file).check_range(s.offset, matrix.first * matrix.second * stored_type(s).bytes);
    row = last_row;
  }
  if (row != n) {
    fail("BAD_CHECKPOINT", describe(ref), " has ", n, " rows; only ", row, " were given");
  }
}

}  // namespace keyheads
