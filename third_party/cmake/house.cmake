# What every target of the house has in common. Nothing here is global: flags belong to targets.

function(pgsink_target_defaults target)
  target_compile_features(${target} PUBLIC cxx_std_23)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow
                         $<$<BOOL:${PGSINK_WERROR}>:-Werror>)
  # Clang counts changes of sign among conversions; g++ does not for C++.
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    target_compile_options(${target} PRIVATE -Wno-sign-conversion)
  endif()
  # GCC 12 finds overlaps in `"text" + std::string` that cannot be (its PR 105651; fixed in 13),
  # and calls a designated initializer incomplete that names what matters.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-missing-field-initializers)
  endif()
  if(PGSINK_ASSERTS)
    target_compile_definitions(${target} PUBLIC PGSINK_ASSERTS)
  endif()
  if(PGSINK_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${PGSINK_SANITIZE} -fno-omit-frame-pointer
                           -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${PGSINK_SANITIZE})
  endif()
  if(PGSINK_FUZZ)  # The fuzzer must see which branches of the libraries an input reaches.
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
  # What ships says the same wherever it was built. A debugger wants the real place.
  target_compile_options(${target} PRIVATE
                         $<$<NOT:$<CONFIG:Debug>>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# pgsink_harden(target): what a program that reads a network's bytes should have and a hot loop in
# the libraries should not pay for.
function(pgsink_harden target)
  include(CheckPIESupported)
  check_pie_supported()
  target_compile_options(${target} PRIVATE -fstack-protector-strong
                         "$<$<CONFIG:Release>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
  target_link_options(${target} PRIVATE -Wl,-z,relro -Wl,-z,now)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()

# pgsink_unity(target source...): with PGSINK_FAST_BUILD, compiles the sources of each folder
# together, so that their headers are read once. Files with macros or compiler settings of their
# own, in UNITY_NEVER, stay alone.
set(UNITY_NEVER "(_avx512|text_kernels|/engine|shell/run/.*)\\.cc$")
function(pgsink_unity target)
  if(NOT PGSINK_FAST_BUILD)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # g++ takes every class of an included file for one that others may include too.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
  foreach(source IN LISTS ARGN)
    cmake_path(GET source PARENT_PATH room)
    if(source MATCHES "${UNITY_NEVER}")
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    else()
      string(MAKE_C_IDENTIFIER "${room}" group)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
endfunction()

# pgsink_library(NAME BASE dir FOLDER sub): a static library of every .cc below dir/sub. The public
# headers are those in dir/include/sub, and only they are installed; each also compiles alone.
function(pgsink_library name)
  cmake_parse_arguments(arg "" "BASE;FOLDER" "" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${arg_BASE}/${arg_FOLDER}/*.cc)
  file(GLOB public_headers CONFIGURE_DEPENDS ${arg_BASE}/include/${arg_FOLDER}/*.h)
  add_library(${name} STATIC ${sources})
  add_library(pgsink::${name} ALIAS ${name})
  pgsink_target_defaults(${name})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${arg_BASE}/include
                 FILES ${public_headers})
  target_include_directories(${name} PRIVATE ${arg_BASE})
  pgsink_unity(${name} ${sources})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
                        VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
endfunction()
