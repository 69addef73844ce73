"""Speed of training and of calls beside other ways and libraries; not part of the package."""
