# find_package(pgsink) → pgsink::pgsink, pgsink::pgproto, pgsink::c; pkg-config pgsink and pgsink_c;
# component Runtime for the command, Development for the rest. The prefix may be moved after
# installation.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/pgsink)

install(TARGETS pgproto pgsink EXPORT pgsink-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Development
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT Development)
if(TARGET pgsink_c)
  install(TARGETS pgsink_c EXPORT pgsink-targets
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Development)
endif()
install(EXPORT pgsink-targets NAMESPACE pgsink:: DESTINATION ${package_dir} COMPONENT Development)
export(EXPORT pgsink-targets NAMESPACE pgsink:: FILE ${PROJECT_BINARY_DIR}/pgsink-targets.cmake)

configure_package_config_file(${PROJECT_SOURCE_DIR}/third_party/cmake/pgsink-config.cmake.in
                              ${PROJECT_BINARY_DIR}/pgsink-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pgsink-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/pgsink-config.cmake
              ${PROJECT_BINARY_DIR}/pgsink-config-version.cmake
        DESTINATION ${package_dir} COMPONENT Development)

# The .pc finds its prefix from its own place, however deep the library directory is.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
foreach(name pgsink pgsink_c)
  if(TARGET ${name})
    configure_file(${PROJECT_SOURCE_DIR}/third_party/cmake/${name}.pc.in
                   ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
            COMPONENT Development)
  endif()
endforeach()
