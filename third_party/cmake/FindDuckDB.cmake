# FindDuckDB: the embedded SQL engine of the command, as the target DuckDB::duckdb.
#
# In this order: DUCKDB_ROOT (CMake or environment variable; a prefix, or the unpacked release
# archive), an installed libduckdb, and third_party/fetch_duckdb (pinned, checksummed). Sets
# DuckDB_FOUND, DuckDB_VERSION (if the library tells), DuckDB_LIBRARY, DuckDB_INCLUDE_DIR, and
# DuckDB_FETCHED: whether the library came from fetch_duckdb and so must be installed beside the
# command.
#
# Needed is the C API of 1.4: result chunks as Arrow arrays.

# Sets DuckDB_INCLUDE_DIR and DuckDB_LIBRARY from the folders given, if both are there and new
# enough.
function(duckdb_look)
  find_path(found_include duckdb.h ${ARGN} PATH_SUFFIXES include NO_CACHE)
  find_library(found_library duckdb ${ARGN} PATH_SUFFIXES lib lib64 NO_CACHE)
  if(NOT found_include OR NOT found_library)
    return()
  endif()
  file(STRINGS ${found_include}/duckdb.h arrow_chunks REGEX "duckdb_data_chunk_to_arrow")
  if(NOT arrow_chunks)
    message(STATUS "DuckDB in ${found_include} is older than 1.4: not used")
    return()
  endif()
  set(DuckDB_INCLUDE_DIR ${found_include} PARENT_SCOPE)
  set(DuckDB_LIBRARY ${found_library} PARENT_SCOPE)
endfunction()

set(DuckDB_FETCHED FALSE)
unset(DuckDB_INCLUDE_DIR)
unset(DuckDB_LIBRARY)
set(duckdb_root ${DUCKDB_ROOT})
if(NOT duckdb_root)
  set(duckdb_root $ENV{DUCKDB_ROOT})
endif()
if(duckdb_root)
  duckdb_look(PATHS ${duckdb_root} NO_DEFAULT_PATH)
  if(NOT DuckDB_LIBRARY)
    message(FATAL_ERROR "DUCKDB_ROOT is ${duckdb_root}, but no duckdb.h and libduckdb of DuckDB "
                        "1.4 or later are there (nor in its include and lib). "
                        "Correct it or unset it.")
  endif()
else()
  duckdb_look()
  if(NOT DuckDB_LIBRARY)
    execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/../fetch_duckdb
                    OUTPUT_VARIABLE fetched_root OUTPUT_STRIP_TRAILING_WHITESPACE
                    RESULT_VARIABLE fetch_failed)
    if(NOT fetch_failed)
      duckdb_look(PATHS ${fetched_root} NO_DEFAULT_PATH)
      set(DuckDB_FETCHED TRUE)
    endif()
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(DuckDB REQUIRED_VARS DuckDB_LIBRARY DuckDB_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "The command pgsink needs DuckDB 1.4 or later. Set DUCKDB_ROOT, \
install libduckdb, let third_party/fetch_duckdb fetch it (npm or curl), or configure with \
-DPGSINK_SHELL=OFF")
if(DuckDB_FOUND AND NOT TARGET DuckDB::duckdb)
  add_library(DuckDB::duckdb SHARED IMPORTED)
  set_target_properties(DuckDB::duckdb PROPERTIES
    IMPORTED_LOCATION ${DuckDB_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${DuckDB_INCLUDE_DIR})
endif()
