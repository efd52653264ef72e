#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace keyheads {

enum class Per : uint8_t { model, layer };
enum class Heads : uint8_t { none, query, kv, expert };
enum class Rows : uint8_t { token, pattern, choice };
enum class Width : uint8_t { one, d_model, d_head, d_mlp, experts, chosen, key };
enum class When : uint8_t {
  always,
  learned,
  rotary,
  sequential,
  prenorm,
  postnorm,
  dense,
  gated_dense,
  mixture,
  gated_mixture
};

enum class Hook : uint8_t {
#define HOOK(id, name, per, heads, rows, width, when, equation, alias, llama, gpt2) id,
#include "schema/hooks.def"
#undef HOOK
};

struct HookInfo {
  const char* name;
  Per per;
  Heads heads;
  Rows rows;
  Width width;
  When when;
};

inline constexpr std::array kHooks{
#define HOOK(id, name, per, heads, rows, width, when, equation, alias, llama, gpt2) \
  HookInfo{name, Per::per, Heads::heads, Rows::rows, Width::width, When::when},
#include "schema/hooks.def"
#undef HOOK
};

inline constexpr int kHookCount = static_cast<int>(kHooks.size());
constexpr const HookInfo& info_of(Hook hook) { return kHooks[static_cast<size_t>(hook)]; }

}  // namespace keyheads
