// The shapes of the attention tests, and attention by its plain formula.
// shape: heads, groups, width, window, twice the cap, past rows of the first sequence (2 more for
// every next; 0 for all if 0), then the length of every sequence
#pragma once
#include "op_case.h"
#include "ops/attention_steps.h"

namespace keyheads::test {

constexpr size_t kLengths = 6;

inline int64_t past_of(const Shape& s, size_t sequence) {
  return s[5] == 0 ? 0 : s[5] + 2 * static_cast<int64_t>(sequence);
}
inline double scale_of(const Shape& s) { return 1 / std::sqrt(static_cast<double>(s[2])); }
inline double cap_of(const Shape& s) { return static_cast<double>(s[4]) / 2; }
inline bool sees(const Shape& s, int64_t query, int64_t key) {
  return key <= query && (s[3] == 0 || key > query - s[3]);
}

inline Shape attention_shape(Random& random) {
  const int64_t groups = random.between(1, 4), heads = groups * random.between(1, 4);
  Shape s = {heads, groups, random.size(130)};
  for (const int64_t most : {50, 8, 40}) {  // window, cap, past
    s.push_back(random.below(2) ? random.between(1, most) : 0);
  }
  for (int64_t i = random.between(1, 4); i > 0; --i) s.push_back(random.size(i == 1 ? 140 : 40));
  return s;
}

// Shapes at and around the widths of vectors and blocks, and drawn ones; or only a few.
inline std::vector<Shape> attention_shapes(bool few = false) {
  if (few) return {{2, 1, 17, 0, 0, 0, 5, 9}, {4, 2, 33, 8, 3, 7, 40}};
  std::vector<Shape> shapes = {{1, 1, 1, 0, 0, 0, 1},
                               {2, 2, 8, 0, 0, 0, 1},
                               {2, 1, 15, 0, 0, 0, 3, 1},
                               {3, 3, 16, 0, 0, 0, 7, 2, 9},
                               {4, 2, 17, 0, 0, 0, 5},
                               {2, 2, 24, 0, 0, 0, 16, 17, 15},
                               {6, 2, 32, 0, 0, 0, 31, 32, 33},
                               {2, 1, 33, 0, 0, 0, 18, 1},
                               {2, 2, 64, 0, 0, 0, 63, 64, 65, 11},
                               {8, 2, 64, 0, 0, 0, 19},
                               {2, 1, 127, 0, 0, 0, 23},
                               {1, 1, 24, 0, 0, 0, 300},
                               {2, 1, 16, 1, 0, 0, 9},
                               {2, 2, 16, 2, 3, 0, 17},
                               {2, 1, 24, 7, 0, 0, 40, 6, 7, 8},
                               {4, 2, 33, 8, 1, 0, 33},
                               {1, 1, 16, 15, 0, 0, 130},
                               {2, 2, 8, 16, 4, 0, 65, 15, 16, 17},
                               {1, 1, 8, 17, 0, 0, 64},
                               {1, 1, 8, 100, 5, 0, 210},
                               {2, 1, 16, 0, 2, 0, 49, 3},
                               {2, 1, 16, 0, 0, 1, 1, 1},
                               {4, 2, 24, 0, 3, 7, 1, 2, 5},
                               {2, 2, 15, 5, 0, 15, 1, 6, 7},
                               {4, 1, 32, 9, 2, 16, 1, 50},
                               {2, 1, 65, 33, 0, 31, 13, 1},
                               {2, 1, 16, 40, 3, 9, 700},
                               {4, 1, 16, 0, 0, 33, 120},
                               {3, 1, 8, 0, 4, 260, 1, 1}};
  Random random("attention shapes");
  for (int i = 0; i < 12; ++i) shapes.push_back(attention_shape(random));
  return shapes;
}

// For devices: every width of tiles, several of them, and keys that several blocks share.
// With `all`, the others too.
inline std::vector<Shape> attention_device_shapes(bool all = false) {
  std::vector<Shape> shapes = {{2, 1, 200, 0, 0, 0, 41, 3},    {2, 2, 256, 5, 3, 3, 9},
                               {4, 2, 128, 0, 0, 0, 70, 129},  {8, 2, 64, 0, 0, 1500, 1, 1},
                               {3, 1, 40, 0, 2, 1100, 2, 20},  {1, 1, 36, 600, 0, 700, 40},
                               {2, 1, 64, 70, 0, 600, 3, 200}, {2, 2, 96, 0, 0, 600, 17, 2, 66}};
  if (all) {
    for (const Shape& shape : attention_shapes()) shapes.push_back(shape);
  }
  return shapes;
}

inline int64_t rows_of(const Shape& s) {
  int64_t rows = 0;
  for (size_t i = kLengths; i < s.size(); ++i) rows += s[i];
  return rows;
}
inline int64_t past_rows_of(const Shape& s) {
  int64_t rows = 0;
  for (size_t i = kLengths; i < s.size(); ++i) rows += past_of(s, i - kLengths);
  return rows;
}

// One query of one head: the first row and the past of its sequence, its number in it, and where
// its row of the pattern buffer begins.
struct Query {
  int64_t row, past_row, past, length, head, query, offset;
  int64_t keys() const { return past + length; }
};
template <class F>
void for_queries(const Shape& s, const F& f) {
  Query x{};
  for (size_t i = kLengths; i < s.size(); ++i) {
    x.length = s[i];
    x.past = past_of(s, i - kLengths);
    for (x.head = 0; x.head < s[0]; ++x.head) {
      for (x.query = 0; x.query < x.length; ++x.query, x.offset += x.keys()) f(x);
    }
    x.row += x.length;
    x.past_row += x.past;
  }
}

inline int64_t pattern_size(const Shape& s) {  // of all pattern buffers together
  int64_t size = 0;
  for_queries(s, [&](const Query& x) { size += x.keys(); });
  return size;
}

// 1 where an entry of the pattern buffers is seen
inline std::vector<char> seen_entries(const Shape& s) {
  std::vector<char> seen;
  for_queries(s, [&](const Query& x) {
    for (int64_t k = 0; k < x.keys(); ++k) seen.push_back(sees(s, x.past + x.query, k));
  });
  return seen;
}

template <class T>
struct Layout {
  std::vector<ops::Segment<T>> segments;
  std::vector<int64_t> offsets;
  Layout(const Shape& s, Buffers<T>& b) {
    int64_t row = 0, past_row = 0, offset = 0;
    const int64_t columns = s[1] * s[2];
    const T *k = b.ptr("past_k"), *v = b.ptr("past_v");
    for (size_t i = kLengths; i < s.size(); ++i) {
      const int64_t past = past_of(s, i - kLengths);
      segments.push_back({row, s[i], past ? k + past_row * columns : nullptr,
                          past ? v + past_row * columns : nullptr, past});
      offsets.push_back(offset);
      row += s[i];
      past_row += past;
      offset += s[0] * s[i] * (past + s[i]);
    }
  }
  int64_t count() const { return static_cast<int64_t>(segments.size()); }
};

template <class T>
void declare_past(const Shape& s, Buffers<T>& b) {
  const int64_t size = past_rows_of(s) * s[1] * s[2];
  if (size == 0) return;
  b.fixed("past_k", 1, size);
  b.fixed("past_v", 1, size);
}

// The keys (name "k") or values ("v") of all sequences, past and own.
struct Keys {
  const double* past;
  Mat<double> own;
  Keys(Buffers<double>& b, const std::string& name) : past(b.ptr("past_" + name)), own(b[name]) {}
  // number `j` that a query's head reads
  const double* row(const Shape& s, const Query& x, int64_t j) const {
    const int64_t column = x.head / (s[0] / s[1]) * s[2];
    return j < x.past ? past + (x.past_row + j) * s[1] * s[2] + column
                      : own.row(x.row + j - x.past) + column;
  }
};

inline double plain_score(const Shape& s, const Mat<double>& q, const Keys& keys, const Query& x,
                          int64_t j) {
  const double* query = q.row(x.row + x.query) + x.head * s[2];
  const double* key = keys.row(s, x, j);
  double sum = 0;
  for (int64_t e = 0; e < s[2]; ++e) sum += query[e] * key[e];
  sum *= scale_of(s);
  return s[4] ? cap_of(s) * std::tanh(sum / cap_of(s)) : sum;
}

inline std::vector<double> plain_softmax(const double* scores, int64_t count) {
  std::vector<double> p(scores, scores + count);
  double sum = 0;
  const double top = *std::max_element(p.begin(), p.end());
  for (double& x : p) sum += x = std::exp(x - top);
  for (double& x : p) x /= sum;
  return p;
}

inline std::string describe(Isa isa, const Shape& s) {
  std::string text = isa_name(isa);
  for (const int64_t n : s) text += " " + std::to_string(n);
  return text;
}

}  // namespace keyheads::test
