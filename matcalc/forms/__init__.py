"""The forms in which a derivative of many axes is written: by index, with Kronecker products, as a linear map."""
