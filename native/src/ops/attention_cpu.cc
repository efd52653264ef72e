#include "ops/attention.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
KEYHEADS_INLINE T dot(const T* a, const T* b, int64_t n) {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// p = softmax(s); entries of -inf become 0
template <class T>
KEYHEADS_INLINE void softmax(T* p, const T* s, int64_t n) {
  T top = s[0];
  for (int64_t j = 1; j < n; ++j) top = larger(top, s[j]);
  T sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    p[j] = static_cast<T>(__builtin_exp(static_cast<double>(s[j] - top)));
    sum += p[j];
  }
  for (int64_t j = 0; j < n; ++j) p[j] = p[j] / sum;
}

template <class T>
void attention_impl(Context& ctx, const Attention<T>& a) {
  const int64_t share = a.heads / a.groups;
  parallel_for(ctx, a.segment_count * a.heads, [&](int64_t task) {
    const Segment<T>& s = a.segments[task / a.heads];
    const int64_t h = task % a.heads, column = h / share * a.width;
    const int64_t stride = a.groups * a.width;
    T* p = static_cast<T*>(thread_scratch(static_cast<size_t>(s.past_rows + s.rows) * sizeof(T)));
    for (int64_t i = 0; i < s.rows; ++i) {
      const T* q = a.q.row(s.row + i) + h * a.width;
      const int64_t n = s.past_rows + i + 1;
      const auto key = [&](int64_t j) {
        return (j < s.past_rows ? s.past_k + j * stride : a.k.row(s.row + j - s.past_rows)) +
               column;
      };
      const auto value = [&](int64_t j) {
        return (j < s.past_rows ? s.past_v + j * stride : a.v.row(s.row + j - s.past_rows)) +
               column;
      };
      for (int64_t j = 0; j < n; ++j) p[j] = a.scale * dot(q, key(j), a.width);
      softmax(p, p, n);
      T* z = a.z.row(s.row + i) + h * a.width;
      for (int64_t e = 0; e < a.width; ++e) z[e] = 0;
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t e = 0; e < a.width; ++e) z[e] += p[j] * value(j)[e];
      }
    }
  });
}

template <class T>
void attention_backward_impl(Context& ctx, const AttentionBackward<T>& a) {
  const int64_t share = a.heads / a.groups;
  parallel_for(ctx, a.segment_count * a.groups, [&](int64_t task) {
    const Segment<T>& s = a.segments[task / a.groups];
    const int64_t g = task % a.groups, column = g * a.width;
    T* p = static_cast<T*>(thread_scratch(static_cast<size_t>(2 * s.rows) * sizeof(T)));
    T* dp = p + s.rows;
    for (int64_t j = 0; j < s.rows; ++j) {
      for (int64_t e = 0; e < a.width; ++e) {
        a.dk.row(s.row + j)[column + e] = 0;
        a.dv.row(s.row + j)[column + e] = 0;
      }
    }
    for (int64_t h = g * share; h < (g + 1) * share; ++h) {
      for (int64_t i = 0; i < s.rows; ++i) {
        const T* q = a.q.row(s.row + i) + h * a.width;
        const T* dz = a.dz.row(s.row + i) + h * a.width;
        T* dq = a.dq.row(s.row + i) + h * a.width;
        const int64_t n = i + 1;
        for (int64_t j = 0; j < n; ++j)
          p[j] = a.scale * dot(q, a.k.row(s.row + j) + column, a.width);
        softmax(p, p, n);
        T sum = 0;
        for (int64_t j = 0; j < n; ++j) {
          dp[j] = dot(dz, a.v.row(s.row + j) + column, a.width);
          sum += p[j] * dp[j];
        }
        for (int64_t e = 0; e < a.width; ++e) dq[e] = 0;
        for (int64_t j = 0; j < n; ++j) {
          const T ds = a.scale * (p[j] * (dp[j] - sum));
          T* dk = a.dk.row(s.row + j) + column;
          T* dv = a.dv.row(s.row + j) + column;
          const T* k = a.k.row(s.row + j) + column;
          for (int64_t e = 0; e < a.width; ++e) {
            dq[e] += ds * k[e];
            dk[e] += ds * q[e];
            dv[e] += p[j] * dz[e];
          }
        }
      }
    }
  });
}

template <class T>
void attention_scores_impl(Context& ctx, const AttentionScores<T>& a) {
  const int64_t share = a.heads / a.groups;
  parallel_for(ctx, a.segment_count * a.heads, [&](int64_t task) {
    const int64_t index = task / a.heads, h = task % a.heads;
    const Segment<T>& s = a.segments[index];
    T* scores = a.scores + a.pattern_offsets[index] + h * s.rows * s.rows;
    for (int64_t i = 0; i < s.rows; ++i) {
      const T* q = a.q.row(s.row + i) + h * a.width;
      for (int64_t j = 0; j < s.rows; ++j) {
        scores[i * s.rows + j] =
            j <= i ? a.scale * dot(q, a.k.row(s.row + j) + h / share * a.width, a.width)
                   : -static_cast<T>(__builtin_inf());
      }
    }
  });
}

template <class T>
void attention_softmax_impl(Context& ctx, const AttentionSoftmax<T>& a) {
  parallel_for(ctx, a.segment_count * a.heads, [&](int64_t task) {
    const int64_t n = a.segments[task / a.heads].rows;
    const int64_t start = a.pattern_offsets[task / a.heads] + task % a.heads * n * n;
    for (int64_t i = 0; i < n; ++i) {
      softmax(a.pattern + start + i * n, a.scores + start + i * n, n);
    }
  });
}

template <class T>
void attention_mix_impl(Context& ctx, const AttentionMix<T>& a) {
  const int64_t share = a.heads / a.groups;
  parallel_for(ctx, a.segment_count * a.heads, [&](int64_t task) {
    const int64_t index = task / a.heads, h = task % a.heads;
    const Segment<T>& s = a.segments[index];
    const T* pattern = a.pattern + a.pattern_offsets[index] + h * s.rows * s.rows;
    for (int64_t i = 0; i < s.rows; ++i) {
      T* z = a.z.row(s.row + i) + h * a.width;
      for (int64_t e = 0; e < a.width; ++e) z[e] = 0;
      for (int64_t j = 0; j <= i; ++j) {
        const T* v = a.v.row(s.row + j) + h / share * a.width;
        for (int64_t e = 0; e < a.width; ++e) z[e] += pattern[i * s.rows + j] * v[e];
      }
    }
  });
}

template <class T>
void attention_mix_backward_impl(Context& ctx, const AttentionMixBackward<T>& a) {
  const int64_t share = a.heads / a.groups;
  parallel_for(ctx, a.segment_count * a.groups, [&](int64_t task) {
    const int64_t index = task / a.groups, g = task % a.groups;
    const Segment<T>& s = a.segments[index];
    for (int64_t j = 0; j < s.rows; ++j) {
      for (int64_t e = 0; e < a.width; ++e) a.dv.row(s.row + j)[g * a.width + e] = 0;
    }
    for (int64_t h = g * share; h < (g + 1) * share; ++h) {
      const int64_t start = a.pattern_offsets[index] + h * s.rows * s.rows;
      for (int64_t i = 0; i < s.rows; ++i) {
        const T* p = a.pattern + start + i * s.rows;
        T* dp = a.dpattern + start + i * s.rows;
        const T* dz = a.dz.row(s.row + i) + h * a.width;
        for (int64_t j = 0; j < s.rows; ++j) {
          dp[j] = j <= i ? dot(dz, a.v.row(s.row + j) + g * a.width, a.width) : T(0);
          if (j > i) continue;
          T* dv = a.dv.row(s.row + j) + g * a.width;
          for (int64_t e = 0; e < a.width; ++e) dv[e] += p[j] * dz[e];
        }
      }
    }
  });
}

template <class T>
void attention_softmax_backward_impl(Context& ctx, const AttentionSoftmaxBackward<T>& a) {
  parallel_for(ctx, a.segment_count * a.heads, [&](int64_t task) {
    const int64_t n = a.segments[task / a.heads].rows;
    const int64_t start = a.pattern_offsets[task / a.heads] + task % a.heads * n * n;
    for (int64_t i = 0; i < n; ++i) {
      const T* p = a.pattern + start + i * n;
      const T* dp = a.dpattern + start + i * n;
      T* ds = a.dscores + start + i * n;
      const T sum = dot(p, dp, n);
      for (int64_t j = 0; j < n; ++j) ds[j] = p[j] * (dp[j] - sum);
    }
  });
}

template <class T>
void attention_scores_backward_impl(Context& ctx, const AttentionScoresBackward<T>& a) {
  const int64_t share = a.heads / a.groups;
  parallel_for(ctx, a.segment_count * a.groups, [&](int64_t task) {
    const int64_t index = task / a.groups, g = task % a.groups;
    const Segment<T>& s = a.segments[index];
    for (int64_t j = 0; j < s.rows; ++j) {
      for (int64_t e = 0; e < a.width; ++e) a.dk.row(s.row + j)[g * a.width + e] = 0;
    }
    for (int64_t h = g * share; h < (g + 1) * share; ++h) {
      const T* dscores = a.dscores + a.pattern_offsets[index] + h * s.rows * s.rows;
      for (int64_t i = 0; i < s.rows; ++i) {
        const T* q = a.q.row(s.row + i) + h * a.width;
        T* dq = a.dq.row(s.row + i) + h * a.width;
        for (int64_t e = 0; e < a.width; ++e) dq[e] = 0;
        for (int64_t j = 0; j <= i; ++j) {
          const T ds = a.scale * dscores[i * s.rows + j];
          const T* k = a.k.row(s.row + j) + g * a.width;
          T* dk = a.dk.row(s.row + j) + g * a.width;
          for (int64_t e = 0; e < a.width; ++e) {
            dq[e] += ds * k[e];
            dk[e] += ds * q[e];
          }
        }
      }
    }
  });
}

}  // namespace

DEFINE_OP(attention, Attention)
DEFINE_OP(attention_backward, AttentionBackward)
DEFINE_OP(attention_scores, AttentionScores)
DEFINE_OP(attention_softmax, AttentionSoftmax)
DEFINE_OP(attention_mix, AttentionMix)
DEFINE_OP(attention_mix_backward, AttentionMixBackward)
DEFINE_OP(attention_softmax_backward, AttentionSoftmaxBackward)
DEFINE_OP(attention_scores_backward, AttentionScoresBackward)

}  // namespace keyheads::ops
