# Flags for everything: warnings, sanitizers. No -ffast-math, no -march=native: vector flags stand on
# kernel files only (src/kernels/CMakeLists.txt).
add_library(ph_flags INTERFACE)
target_compile_options(ph_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wdouble-promotion -Wundef -Wformat=2 -fno-omit-frame-pointer -ffp-contract=off)
target_compile_definitions(ph_flags INTERFACE _GNU_SOURCE PH_VERSION="${PROJECT_VERSION}")
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  target_compile_options(ph_flags INTERFACE -Wno-pass-failed) # "not vectorised" is no mistake
endif()
if(PH_WERROR)
  target_compile_options(ph_flags INTERFACE -Werror)
endif()
if(PH_SANITIZE)
  target_compile_options(ph_flags INTERFACE -fsanitize=${PH_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(ph_flags INTERFACE -fsanitize=${PH_SANITIZE})
endif()
if(PH_FUZZ)
  target_compile_options(ph_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
