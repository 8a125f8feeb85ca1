//! Static files of the web page as a Spin component.
