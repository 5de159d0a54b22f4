# cmake -DSOURCE_DIR=… -DVERSION=… -DBUILD_TYPE=… -DOUTPUT=… -P write_build_info.cmake
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
set(text "#pragma once
#define PGSINK_VERSION \"${VERSION}\"
#define PGSINK_COMMIT \"${commit}\"
#define PGSINK_BUILD_TYPE \"${BUILD_TYPE}\"
")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
