// Whether this build maps terabytes of shadow memory, keeps freed memory, and opens descriptors of
// its own: bounds on memory and descriptors mean nothing then.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SESSREG_SHADOW_MEMORY
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SESSREG_SHADOW_MEMORY)
inline constexpr bool kHasShadowMemory = true;
#else
inline constexpr bool kHasShadowMemory = false;
#endif
